"""Addresses such as s3://bucket/runs.zarr, by fsspec: whole stores are copied there and back, never written in place.

Object storage has no locks and no renaming, on which it rests that a store has one writer and is never found half done.
So a store is filled on this machine and then uploaded, its root last; and it is read from a copy, whose checksums are
looked at as those of any other.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

# A Path has lost one of the slashes; a drive of Windows has one letter.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# Its presence says that a store is whole: it is uploaded last.
_ROOT = "zarr.json"


def is_remote(path: str | PathLike) -> bool:
    """Whether this is an address rather than a path of this machine."""
    return bool(_ADDRESS.match(str(path)))


def need_local(path: str | PathLike, argument: str, remedy: str) -> None:
    """ValueError where an address is given for what has to be on this machine.

    Args:
        path: what was given.
        argument: its name.
        remedy: what to do instead.
    """
    if is_remote(path):
        raise ValueError(
            f"`{argument}`: {path} is an address of object storage, where there are no locks and nothing is renamed, "
            f"and this has to be on a file system. {remedy}"
        )


@contextmanager
def fetched(path: str | Path) -> Iterator[str | Path]:
    """Yields the path of a copy on this machine of a store at an address, removed on leaving; a local path as it is.

    Raises:
        FileNotFoundError: there is nothing at the address.
        ImportError: a package for this kind of address is not installed.
        ValueError: there is no such kind.
    """
    if not is_remote(path):
        yield path
        return
    system, root = _system(path)
    if not system.exists(f"{root}/{_ROOT}"):
        raise FileNotFoundError(
            f"`path`: there is no store at {path}: no {_ROOT} in it. Make one with simulations.save({str(path)!r})."
        )
    with _scratch(root) as folder:
        system.get(root, str(folder), recursive=True)
        yield folder


@contextmanager
def uploaded(path: str | PathLike) -> Iterator[Path]:
    """Yields the path of a folder on this machine to be made, whose content is uploaded to an address on leaving.

    What an interrupted upload has left at the address is removed first.

    Raises:
        FileExistsError: a store is at the address already.
        ImportError: a package for this kind of address is not installed.
        ValueError: there is no such kind.
    """
    system, root = _system(path)
    if system.exists(f"{root}/{_ROOT}"):
        raise FileExistsError(f"`path`: {path} exists already. Give another path, or remove it.")
    with _scratch(root) as folder:
        yield folder
        if system.exists(root):
            system.rm(root, recursive=True)
        files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file != folder / _ROOT]
        for file in [*files, folder / _ROOT]:
            target = f"{root}/{file.relative_to(folder).as_posix()}"
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(file), target)


@contextmanager
def _scratch(root: str) -> Iterator[Path]:
    """The path of a folder that is not there yet, by the name of the store, which messages then show."""
    place = tempfile.mkdtemp(prefix="genbayes-store-")
    try:
        yield Path(place) / root.rpartition("/")[2]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _system(path: str | PathLike) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    if "://" not in str(path):
        raise ValueError(
            f"`path`: {path} has lost a slash of its address: give a text such as 's3://...', and no Path."
        )
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ImportError(f"`path`: {path} needs the package fsspec: pip install 'genbayes[remote]'.") from error
    try:
        system, root = url_to_fs(str(path))
    except ImportError as error:
        raise ImportError(f"`path`: {path} needs a further package: {error}") from error
    except ValueError as error:
        raise ValueError(f"`path`: {path} is an address of no kind that fsspec knows: {error}.") from error
    return system, root.rstrip("/")
