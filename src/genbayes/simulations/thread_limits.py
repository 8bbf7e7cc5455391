"""How many threads a run may use where others run beside it: numpy's linear algebra takes all cores by itself."""

import os
from collections.abc import Iterable

from ..runtime.processes import cores

_SHARED = "OMP_NUM_THREADS"
_VARIABLES = (
    _SHARED,
    *("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"),
)


def limits_of_threads(workers: int, chosen: Iterable[str] = ()) -> dict[str, str]:
    """Environment variables for one of so many processes that run side by side, so that together they use every core.

    Without them each would start a thread for every core, and the threads would wait for each other: two workers with
    the eigenvalues of matrices of 300 rows took fifty times as long as one.

    Args:
        workers: number of processes.
        chosen: names of variables that the user gives these processes.

    Returns:
        The variables; none where one process has the machine for itself, or the user has set OMP_NUM_THREADS. Others
        that are set stay as they are.
    """
    if workers == 1 or _SHARED in (*os.environ, *chosen):
        return {}
    each = str(max(1, cores() // workers))
    return {name: each for name in _VARIABLES if name not in os.environ}
