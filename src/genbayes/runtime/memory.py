"""How much memory is there, and saying so before a computation that needs more is killed in the middle of it."""

from contextlib import suppress
from pathlib import Path


def available_memory() -> int | None:
    """Bytes that this process could still take, of the machine (with swap) or of its container; None if unknown."""
    limits = []
    with suppress(OSError, ValueError, KeyError):
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        limits.append(1024 * sum(int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree")))
    for most, now in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        # "max" where there is no limit.
        with suppress(OSError, ValueError):
            limits.append(int(Path(most).read_text()) - int(Path(now).read_text()))
    return max(0, min(limits)) if limits else None


def need_memory(size: int, what: str, remedy: str) -> None:
    """MemoryError where this many bytes are surely not there.

    Args:
        size: bytes that are needed at least.
        what: needs them, as the beginning of a sentence.
        remedy: what to do.
    """
    available = available_memory()
    if available is not None and size > available:
        raise MemoryError(
            f"{what} takes at least {size / 1e9:.3g} GB of memory, and {available / 1e9:.3g} GB are there. {remedy}"
        )
