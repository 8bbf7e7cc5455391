"""What a fit takes of memory at least, said before it begins: about half of what benchmarks/fit_memory.py measures."""

import numpy as np

from ..distances.base import CostKind
from ..runtime.memory import need_memory
from ..simulations.rows import Simulations

# Bytes of a row: whatever its outputs, and for each number of them.
_OF_ROW: dict[CostKind, tuple[int, int]] = {"features": (800, 30), "marginal": (350, 25), "general": (900, 6)}


def need_memory_for_fit(simulations: Simulations, kind: CostKind) -> None:
    """MemoryError where a fit of so many simulations surely does not fit into the memory that is there."""
    rows, (of_row, of_output) = int(simulations.ok.sum()), _OF_ROW[kind]
    size = rows * (of_row + of_output * int(np.prod(simulations.x_shape)))
    remedy = (
        "Give fit_cost the path of a store, which it goes through in blocks (genbayes fit --in-memory ROWS). Or fit on "
        "fewer of them, which are draws of the prior as well: Simulations.open(path, n=1_000_000), or "
        "simulations.selected(rows)."
    )
    need_memory(size, f"A fit of {rows:,} simulations with outputs of shape {simulations.x_shape}", remedy)
