"""Small programs in awk for tests, which start in two milliseconds."""

import time
import zlib
from pathlib import Path

from genbayes.simulations.external_program import ExternalProgram


def awk(folder: Path, source: str, *arguments: str, **options) -> ExternalProgram:
    """A program in awk whose arguments are ARGV[1], ARGV[2], ...; `source` runs without input."""
    path = folder / f"{zlib.crc32(source.encode()):08x}.awk"
    path.write_text(f"BEGIN {{ {source} }}\n")
    return ExternalProgram(["awk", "-f", path, "--", *arguments], **options)


def is_gone(process: int, seconds: float = 5.0) -> bool:
    """Whether a process ends within some seconds; one that nobody has waited for has ended, too."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def all_are_gone(variable: str, seconds: float = 8.0) -> bool:
    """Whether all processes that have inherited a variable, NAME=VALUE, end within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(_has(path, variable.encode()) for path in Path("/proc").glob("[0-9]*")):
            return True
        time.sleep(0.05)
    return False


def _has(process: Path, variable: bytes) -> bool:
    try:
        return variable in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
