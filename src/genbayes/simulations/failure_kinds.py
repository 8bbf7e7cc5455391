"""Failed runs, counted by the kind of their failure."""

from collections.abc import Mapping


def kinds_of_failures(counts: Mapping[str, int]) -> list[tuple[int, str]]:
    """How many runs failed, and of what: one entry for each kind of failure with one example, the most first.

    Args:
        counts: number of runs by the reason of their failure; what stands before the first colon is the kind.
    """
    kinds: dict[str, list[tuple[int, str]]] = {}
    for reason, count in counts.items():
        if count:
            kinds.setdefault(reason.split(":")[0], []).append((count, reason))
    found = []
    for kind, examples in kinds.items():
        most = max(examples)[1]
        total = sum(count for count, _ in examples)
        found.append((total, most if len(examples) == 1 else f"{kind} (such as: {most.removeprefix(kind)[2:]})"))
    return sorted(found, key=lambda pair: -pair[0])
