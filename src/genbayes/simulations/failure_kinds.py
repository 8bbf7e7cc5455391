"""Failed runs, counted by the kind of their failure."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from .store import PENDING


def kinds_of_failures(status: Int[np.ndarray, " n"], reasons: Sequence[str]) -> list[tuple[int, str]]:
    """How many runs failed, and of what: one entry for each kind of failure with one example, the most first.

    Args:
        status: what became of each run, a number of `reasons`.
        reasons: in words; what stands before the first colon is the kind.
    """
    counts = np.bincount(status, minlength=len(reasons))
    kinds: dict[str, list[tuple[int, str]]] = {}
    for k in range(PENDING + 1, len(reasons)):
        if counts[k]:
            kinds.setdefault(reasons[k].split(":")[0], []).append((int(counts[k]), reasons[k]))
    found = []
    for kind, examples in kinds.items():
        most = max(examples)[1]
        total = sum(count for count, _ in examples)
        found.append((total, most if len(examples) == 1 else f"{kind} (such as: {most.removeprefix(kind)[2:]})"))
    return sorted(found, key=lambda pair: -pair[0])
