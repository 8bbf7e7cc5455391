"""Writing files and folders whole: an interrupted write leaves the old one as it was."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on leaving, what was written there takes the place of `path`.

    After an exception nothing is replaced, and what was written is removed. Both are on the disk when this returns: a
    machine that loses its power later has the new one, and one that loses it before has the old one.

    Example:
        >>> with replaced_file(Path("cost.bin")) as beside:
        ...     beside.write_bytes(content)
    """
    beside = _beside(path)
    try:
        yield beside
        forced(beside)
        os.replace(beside, path)
        forced(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file that takes the place of the one before, if there is one; see `replaced_file`."""
    with replaced_file(path) as beside:
        beside.write_text(text, "utf-8")


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yields a folder's path beside `path` to fill; on leaving, it takes the place of `path` and all that is in it.

    The folder does not exist yet. After an exception nothing is replaced, and what was written is removed. No system
    replaces a filled folder in one step: an interruption between the two steps of moving the old one away and the new
    one in leaves both beside, and `recovered` puts the new one in its place.
    """
    beside, old = _beside(path), _old(path)
    recovered(path)
    for left in (beside, old):
        if left.is_dir():
            shutil.rmtree(left)
    try:
        yield beside
    except BaseException:
        # Threads that write chunks may not have heard of it yet.
        for _ in range(5):
            shutil.rmtree(beside, ignore_errors=True)
            if not beside.exists():
                break
            time.sleep(0.05)
        raise
    if path.exists():
        path.rename(old)
    beside.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def recovered(path: Path) -> Path:
    """The path of a folder, after an interrupted replacement has been brought to its end."""
    if not path.exists() and _old(path).is_dir():
        # The new one was complete before the old one was moved away.
        (_beside(path) if _beside(path).is_dir() else _old(path)).rename(path)
    return path


def forced(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk; where a system has no such thing for folders, not.

    A rename may reach the disk before what is in the file, which then would be empty.
    """
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _old(path: Path) -> Path:
    return path.with_name(path.name + ".old")


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".part")
