"""How messages name coordinates of an output."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

_MOST_NAMED = 5


def listed(which: Bool[np.ndarray, "*x_shape"], names: Sequence[str] | None = None) -> str:
    """The marked coordinates by their names or their indices, which count from 0; of many, the first and their number.

    Args:
        which: the marked ones.
        names: of all coordinates, where they have any.
    """
    indices = np.argwhere(which).tolist()
    # An output of one axis has an index of one number.
    places = [str(index[0]) if len(index) == 1 else str(tuple(index)) for index in indices[:_MOST_NAMED]]
    more = f", ... ({len(indices)} of {which.size})" if len(indices) > _MOST_NAMED else ""
    plural = "s" * (len(indices) > 1)
    if names is not None and len(names) == which.size:
        named = [name for name, marked in zip(names, which.reshape(-1), strict=True) if marked]
        return f"output{plural} {', '.join(named[:_MOST_NAMED])}{more}"
    return f"output coordinate{plural} {', '.join(places)}{more}"
