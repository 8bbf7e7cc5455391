"""A process that dies at its n-th change of the file system, played in this process."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zarr.storage._local as local

_CHANGES = ("rename", "replace", "unlink", "rmdir", "mkdir", "pwrite", "ftruncate")


class Killed(BaseException):
    """In place of the end: nothing may catch it and go on."""


@contextlib.contextmanager
def killed_at(change: int | None, folder: Path, error: Callable[[], BaseException] = Killed) -> Iterator[list[str]]:
    """Counts changes below a folder, and ends at one: a write is torn, and nothing is written ever after.

    Args:
        change: number of the last change that does not happen, from 0; None for none.
        folder: outside of which nothing is counted.
        error: what is raised; another one than `Killed`, such as an OSError, is raised once only, by a write.
    """
    seen: list[str] = []
    kept: dict[str, Any] = {name: getattr(os, name) for name in _CHANGES}
    put = local._put

    def ends(what: str) -> bool:
        seen.append(what)
        after = error is Killed and change is not None and len(seen) > change
        return after or len(seen) - 1 == change

    def watched(name: str) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            first = arguments[0]
            inside = isinstance(first, int) or options.get("dir_fd") is not None or str(folder) in os.fspath(first)
            # To make a folder that is there already fails without a word.
            counted = inside and (error is Killed or name in ("replace", "pwrite"))
            if counted and ends(f"{name} {first}"):
                raise error()
            return kept[name](*arguments, **options)

        return call

    def torn_put(path: Path, value: Any, exclusive: bool = False) -> int:
        if not ends(f"write {path}"):
            return put(path, value, exclusive)
        if error is Killed and len(seen) - 1 == change:
            path.parent.mkdir(parents=True, exist_ok=True) if path.parent.is_dir() else None
            if path.parent.is_dir():
                path.with_suffix(".torn.partial").write_bytes(bytes(value.as_buffer_like())[: len(value) // 2])
        raise error()

    try:
        for name in _CHANGES:
            setattr(os, name, watched(name))
        local._put = torn_put
        yield seen
    finally:
        local._put = put
        for name in _CHANGES:
            setattr(os, name, kept[name])
