"""A process that dies at its n-th change of the file system, played in this process."""

import builtins
import contextlib
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_CHANGES = ("rename", "replace", "unlink", "rmdir", "mkdir", "pwrite", "ftruncate")


class Killed(BaseException):
    """In place of the end: nothing may catch it and go on."""


@contextlib.contextmanager
def killed_at(change: int | None, folder: Path, error: Callable[[], BaseException] = Killed) -> Iterator[list[str]]:
    """Counts changes below a folder, and ends at one: a file has half of its content, nothing is written ever after.

    Args:
        change: number of the last change that does not happen, from 0; None for none.
        folder: outside of which nothing is counted.
        error: what is raised; another one than `Killed`, such as an OSError, is raised once only, by a write.
    """
    seen: list[str] = []

    def before(what: str, file: Path | None) -> None:
        # To make a folder that is there already fails without a word.
        if error is not Killed and what.split()[0] not in ("replace", "pwrite", "close"):
            return
        seen.append(what)
        after = error is Killed and change is not None and len(seen) > change
        if after or len(seen) - 1 == change:
            if file is not None:
                _torn(file)
            raise error()

    with _watched(folder, before):
        yield seen


@contextlib.contextmanager
def copied_at(folder: Path, into: Path, every: int = 1) -> Iterator[list[tuple[str, Path | None]]]:
    """At every change below a folder, what a process that dies there would leave is copied, and the process goes on.

    For work that takes long: it is done once for all points, and only what comes after a point for each.

    Args:
        folder: that is copied, and outside of which nothing is counted.
        into: where the copies go, outside of `folder`.
        every: of how many changes one is copied.

    Yields:
        The changes, with the paths of the copies made ahead of them (None where none was).
    """
    seen: list[tuple[str, Path | None]] = []

    def before(what: str, file: Path | None) -> None:
        copy = into / f"{len(seen):04d}" if len(seen) % every == every - 1 else None
        seen.append((what, copy))
        # Before the folder itself is made there is nothing to copy.
        if copy is not None and folder.exists():
            shutil.copytree(folder, copy)
            if file is not None:
                _torn(copy / file.relative_to(folder))

    with _watched(folder, before):
        yield seen


@contextlib.contextmanager
def _watched(folder: Path, before: Callable[[str, Path | None], None]) -> Iterator[None]:
    """Calls ahead of every change below a folder, with the file that is about to be complete, if it is that."""
    kept: dict[str, Any] = {name: getattr(os, name) for name in _CHANGES}
    kept_open, lock, within = io.open, threading.RLock(), threading.local()

    def told(what: str, file: Path | None = None) -> None:
        # What `before` does itself is no change; threads come one after the other, as the copies need it.
        if getattr(within, "before", False):
            return
        within.before = True
        try:
            with lock:
                before(what, file)
        finally:
            within.before = False

    def inside(path: Any) -> bool:
        return str(folder) in os.path.abspath(path)

    def watched(name: str) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            first = arguments[0]
            if isinstance(first, int) or options.get("dir_fd") is not None or inside(first):
                told(f"{name} {first}")
            return kept[name](*arguments, **options)

        return call

    def watched_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not isinstance(file, str | os.PathLike) or not inside(file) or not set(mode) & set("wax+"):
            return kept_open(file, mode, *arguments, **options)
        told(f"open {file}")
        opened: Any = kept_open(file, mode, *arguments, **options)
        close = opened.close

        def closed() -> None:
            try:
                if not opened.closed:
                    opened.flush()
                    told(f"close {file}", Path(os.path.abspath(file)))
            finally:
                close()

        opened.close = closed
        return opened

    try:
        for name in _CHANGES:
            setattr(os, name, watched(name))
        io.open = builtins.open = watched_open
        yield
    finally:
        io.open = builtins.open = kept_open
        for name in _CHANGES:
            setattr(os, name, kept[name])


def _torn(file: Path) -> None:
    """Leaves half of a file."""
    if file.is_file():
        os.truncate(file, file.stat().st_size // 2)
