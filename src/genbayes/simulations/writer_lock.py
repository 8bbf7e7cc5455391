"""One writer for a store: a lock file beside it that says who writes, and what a write that fails means.

Where the file system has locks that all its machines see (local disks; NFS, Lustre and others as they are usually
mounted), the kernel gives the lock back when its holder dies, however that happens. Some shared file systems keep such
locks to one machine, or have none. So the holder also writes its name into the file, and touches it every few seconds:
who comes from another machine, or finds no locks, looks whether somebody still does.
"""

import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..runtime.object_storage import need_local

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Seconds between two signs of life, and those for which a newcomer waits for one.
BEAT_SECONDS = 3.0
WATCH_SECONDS = 12.0
_HELD = (errno.EAGAIN, errno.EACCES)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


class StoreInUse(RuntimeError):
    """Raised where another process writes to the same store."""


def lock_path(store: str | Path) -> Path:
    """The lock file of a store; one, by whatever links the store is reached."""
    return Path(f"{os.path.realpath(store)}.lock")


@contextmanager
def only_writer(store: str | Path | None) -> Iterator[None]:
    """Holds the lock of a store while something is written to it; nothing happens where there is no store.

    Raises:
        ValueError: the store is no path of this machine, but an address of object storage.
        StoreInUse: somebody else holds it; with who that is.
        OSError: there is no space, or the place may not be written to; what was written before is kept.
    """
    if store is None:
        yield
        return
    need_local(store, "store", "Give a local path, and copy what comes of it: simulations.save(ADDRESS).")
    try:
        lock = _Lock(lock_path(store), str(store))
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        told = _told(error, str(store))
        if told is None:
            raise
        raise OSError(error.errno, told) from error


class _Lock:
    """The lock of one store, held from the moment when it is made."""

    def __init__(self, path: Path, store: str):
        self._path, self._store = path, store
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._shared = self._open()
        try:
            self._take_over()
        except BaseException as error:
            if isinstance(error, OSError) and self._shared:
                # There was no space for it.
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            raise
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._beats, name="genbayes store lock", daemon=True)
        self._beat.start()

    def release(self) -> None:
        """Give the lock back; the file goes before the lock, so that nobody can hold one that is gone."""
        self._stop.set()
        self._beat.join()
        try:
            # Whoever has taken over a lock that seemed dead keeps his file.
            if self._is_current() and _holder(self._path) == self._me:
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._file)

    def _open(self) -> tuple[int, bool]:
        """The open file, and whether the kernel keeps others of this machine out."""
        while True:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if fcntl is not None:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current():
                    return self._file, fcntl is not None
            except OSError as error:
                if error.errno in _HELD:
                    holder = _holder(self._path)
                    os.close(self._file)
                    raise self._in_use(holder) from None
                # This file system has no locks.
                return self._file, False
            except BaseException:
                os.close(self._file)
                raise
            # Removed by its holder between opening and locking.
            os.close(self._file)

    def _is_current(self) -> bool:
        """Whether the open file is still the one at its path."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._file), os.stat(self._path))
        return False

    def _take_over(self) -> None:
        """Write this process into the file, unless somebody whom the kernel does not know of is alive."""
        self._me = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "mark": os.urandom(8).hex(),
        }
        left = _holder(self._path)
        if left is not None and (left.get("host") != self._me["host"] or not self._shared):
            if left.get("host") == self._me["host"] and not _is_alive(left.get("pid")):
                left = None
            elif self._is_touched():
                raise self._in_use(left)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(self._me).encode(), 0)
        if not self._shared:
            # Two that came at the same moment: the one who wrote last stays.
            time.sleep(0.2)
            if (now := _holder(self._path)) != self._me:
                raise self._in_use(now)

    def _is_touched(self) -> bool:
        """Whether somebody gives a sign of life; by the file's own time, since clocks of machines differ."""
        print(
            f"{self._path} names a writer on another machine: looking for {WATCH_SECONDS:g} s whether it is alive",
            file=sys.stderr,
            flush=True,
        )
        first, end = _touched(self._path), time.monotonic() + WATCH_SECONDS
        while time.monotonic() < end:
            time.sleep(min(0.5, WATCH_SECONDS / 10))
            if _touched(self._path) != first:
                return True
        return False

    def _beats(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._file)

    def _in_use(self, holder: dict[str, Any] | None) -> StoreInUse:
        who = "another process" if holder is None else f"process {holder['pid']} on {holder['host']}"
        since = "" if holder is None else f" since {holder['since']}"
        return StoreInUse(
            f"`store`: {who} has been writing to {self._store}{since}, and two writers would damage it. Wait for it or "
            f"end it, or give another path to `store`. (Who writes is in {self._path}.)"
        )


def _holder(path: Path) -> dict[str, Any] | None:
    """Who has written himself into a lock file; None where nobody has, or it cannot be read."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and {"pid", "host", "since"} <= found.keys():
            return found
    return None


def _touched(path: Path) -> int | None:
    """When a file was last touched; it is opened for that, which asks the server of a network's file system."""
    with suppress(OSError), path.open("rb") as file:
        return os.fstat(file.fileno()).st_mtime_ns
    return None


def _is_alive(pid: Any) -> bool:
    """Whether a process of this machine is there; one that cannot be asked is."""
    if os.name != "posix" or not isinstance(pid, int):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _told(error: OSError, store: str) -> str | None:
    """What a failed write means; None for an error of something else."""
    if error.errno in _NO_SPACE:
        return (
            f"`store`: there is no space left to write {store} ({error.strerror}). What was finished before is kept: "
            "make room, and call again to go on."
        )
    place = os.fspath(error.filename) if error.filename is not None else ""
    near = str(place).startswith((os.path.realpath(store), store)) or Path(str(place)) == Path(store).parent
    if error.errno in _NOT_ALLOWED and near:
        return (
            f"`store`: {place} may not be written to ({error.strerror}). Give a path to `store` in a folder where you "
            "may write, or change its permissions; to look at what is there, use Simulations.open."
        )
    if error.errno == errno.EIO and near:
        return (
            f"`store`: {place} cannot be written or read ({error.strerror}): the disk or the network has failed. What "
            "was finished before is kept: call again to go on."
        )
    return None
