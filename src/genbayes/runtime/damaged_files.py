"""Files that others have written: a damaged one is an error with its path, and none unpacks into more than there is."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .memory import need_memory

# Bytes that an archive may take when it is unpacked; whoever has more saves it as .npy, which needs no unpacking.
MOST_UNPACKED = 4 * 2**30
# Times that compression may have made measured data smaller; repeated numbers alone go further.
_MOST_COMPRESSED = 200


@contextmanager
def damage_told(path: str | Path, what: str, remedy: str = "Copy or save it again.") -> Iterator[None]:
    """Makes a ValueError with the path of whatever goes wrong in reading a file.

    Errors that name the file pass as they are; so do those of a missing file, a missing package, and memory.

    Args:
        path: of the file.
        what: it should be, with its article.
        remedy: what to do where it is damaged.
    """
    path = Path(path)
    try:
        yield
    except (FileNotFoundError, PermissionError, ImportError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, ValueError | TypeError | OSError) and path.name in str(error):
            raise
        said = str(error) or type(error).__name__
        told = said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
        raise ValueError(f"{path} cannot be read as {what}: {' '.join(told.split())[:300]}. {remedy}") from error


@contextmanager
def path_told(path: str | Path) -> Iterator[None]:
    """Begins a ValueError with the path of the file whose content is wrong, if it does not name it."""
    try:
        yield
    except ValueError as error:
        if Path(path).name in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error


def load_arrays(path: str | Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an .npy file, or those of an .npz file by their names; never a pickled object.

    Raises:
        ValueError: it is neither, is damaged, or would take more than `MOST_UNPACKED` bytes.
    """
    path = Path(path)
    with damage_told(path, "an .npz file (numpy.savez)" if path.suffix.lower() == ".npz" else "a numpy file"):
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return _array_of(file, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            check_unpacked(archive)
            arrays = {}
            for member in archive.infolist():
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _array_of(file, member.file_size)
                    # What is behind the array counts into the checksum of the archive, which is compared at the end.
                    while file.read(2**16):
                        pass
            return arrays


def load_archive(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by their names.

    Raises:
        ValueError: see `load_arrays`; or the file is an .npy.
    """
    loaded = load_arrays(path)
    if isinstance(loaded, dict):
        return loaded
    raise ValueError(f"{Path(path).name} holds a single array; expected an .npz file (numpy.savez) of named arrays.")


def check_unpacked(archive: zipfile.ZipFile) -> None:
    """ValueError where an archive would take more than `MOST_UNPACKED` bytes."""
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_UNPACKED:
        raise ValueError(
            f"unpacked it would take {size / 1e9:.3g} GB, more than {MOST_UNPACKED / 1e9:.3g} GB. Save an array as "
            ".npy, a table as CSV, or a part of it"
        )


def check_announced(size: int, path: Path) -> None:
    """Look whether the arrays of a file can be read, before any is.

    Args:
        size: bytes that the file announces.
        path: of the file, whose arrays may be compressed.

    Raises:
        ValueError: that is more than `MOST_UNPACKED`, and far more than the file can hold.
        MemoryError: it is more than the memory that is there.
    """
    there = path.stat().st_size
    if size > max(MOST_UNPACKED, _MOST_COMPRESSED * there):
        raise ValueError(
            f"it announces {size / 1e9:.3g} GB in a file of {there / 1e9:.3g} GB, and no measured data are compressed "
            "like that: save it without compression, or a part of it"
        )
    need_memory(size, f"Reading {path}", "Save a part of it.")


def _array_of(file: Any, size: int) -> np.ndarray:
    """An array from an open file of so many bytes, which is not asked for more than these."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format has the version {version}")
    shape, fortran, dtype = header(file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded: they could run code. Save numbers")
    wanted = int(np.prod([*map(int, shape), 1], dtype=object)) * dtype.itemsize
    if min((0, *shape)) < 0 or wanted > size:
        raise ValueError(f"it announces {wanted} bytes of shape {shape}, and has {size}: it is cut short or damaged")
    content, done = bytearray(wanted), 0
    while done < wanted and (n := file.readinto(memoryview(content)[done:])):
        done += n
    if done < wanted:
        raise ValueError(f"it ends after {done} of {wanted} bytes: it is cut short")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
