"""Many rows that came back together: as arrays, where a million pairs would take longer than the runs."""

from collections.abc import Iterator, Sequence

import numpy as np

from .worker import Result


class Batch(Sequence[Result]):
    """The outputs of some rows, none of which is known to have failed; read like a list of (row, output).

    Attributes:
        rows: numbers of the rows, ascending (n,).
        outputs: of all of them (n, *output_shape).
    """

    def __init__(self, rows: np.ndarray, outputs: np.ndarray):
        self.rows, self.outputs = rows, outputs

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):  # noqa: ANN001, ANN204 (one or a slice)
        if isinstance(index, slice):
            return Batch(self.rows[index], self.outputs[index])
        return int(self.rows[index]), np.asarray(self.outputs[index])

    def __iter__(self) -> Iterator[Result]:
        # As arrays: iterating over scalar outputs would give numpy scalars.
        return ((int(row), np.asarray(output)) for row, output in zip(self.rows, self.outputs, strict=True))
