"""Writing files and folders whole: an interrupted write leaves the old one as it was."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on leaving, what was written there takes the place of `path`.

    After an exception nothing is replaced, and what was written is removed.

    Example:
        >>> with replaced_file(Path("cost.bin")) as beside:
        ...     beside.write_bytes(content)
    """
    beside = _beside(path)
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yields a folder's path beside `path` to fill; on leaving, it takes the place of `path` and all that is in it.

    The folder does not exist yet. No system replaces a filled folder in one step: an interruption between the two steps
    of removing and renaming leaves the new one beside.
    """
    beside = _beside(path)
    shutil.rmtree(beside, ignore_errors=True)
    yield beside
    shutil.rmtree(path, ignore_errors=True)
    beside.rename(path)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".part")
