"""A process of this library's own that runs rows, and its parent's view of it.

A worker is a plain interpreter that is told by its standard input what to do: it imports neither the user's script nor
this library, runs in a process group of its own, so that it ends with all that it has started, and ends by itself when
its parent is gone. Which row it is in, and since when, it notes in a few bytes of memory that both share.
"""

import array
import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple

from .program_processes import Processes, ended, signal_group
from .worker import Task

# Between the request to end and the end.
GRACE_SECONDS = 2.0
# A second task is handed over ahead only if the pipe takes it at once, whatever the worker is doing.
_AHEAD_BYTES = 16_384
# What is printed goes to standard error, since standard output carries results; what reads standard input, such as a
# program that a simulator starts, finds nothing there. Commands are read without a buffer, whose lock an interpreter
# that ends would wait for.
_START = """
import os, pickle, sys
writing, commands = os.fdopen(os.dup(1), "wb"), os.dup(0)
os.dup2(2, 1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
def exactly(size):
    content = bytearray()
    while len(content) < size:
        part = os.read(commands, size - len(content))
        if not part:
            os._exit(1)
        content += part
    return bytes(content)
def receive():
    return exactly(int.from_bytes(exactly(8), "little"))
start = pickle.loads(receive())
sys.path[:], sys.argv[:] = start["path"], start["argv"]
import cloudpickle
cloudpickle.loads(start["serve"])(receive, writing, start)
"""


class Note(NamedTuple):
    """Where a worker is.

    Attributes:
        number: of the task, from 0.
        index: of the row in it; -1 between rows.
        since: when it began, by the clock of all processes of a machine.
    """

    number: int
    index: int
    since: float


class LocalWorker:
    """One process, and the tasks that it has been given.

    Attributes:
        tasks: those that it has not answered yet, oldest first.
        fresh: whether it has been given nothing yet.
        base_memory: bytes that it had after its first task.
        leaving: whether it is given nothing more.
    """

    def __init__(self, start: dict[str, Any], processes: Processes, answers: "SimpleQueue", added: dict[str, str]):
        self._processes = processes
        self.tasks: list[list[Task]] = []
        self.fresh, self.leaving, self.base_memory = True, False, 0
        self._answered, self._seen_ended = 0, False
        handle, name = tempfile.mkstemp(prefix="genbayes-")
        try:
            os.write(handle, array.array("d", (0, -1, 0)).tobytes())
            self._note = memoryview(mmap.mmap(handle, 0)).cast("d")
            if os.name == "posix":
                # Without a name nothing is left of it, however both processes end; the worker gets the open file.
                os.unlink(name)
            options = subprocess._args_from_interpreter_flags()  # pyright: ignore[reportAttributeAccessIssue]
            self._process = processes.begin([sys.executable, *options, "-c", _START], handle, added)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        finally:
            os.close(handle)
        self._note_file = name
        threading.Thread(target=self._read, args=(answers,), name="genbayes worker", daemon=True).start()
        self._send({**start, "path": sys.path, "argv": sys.argv, "note": handle if os.name == "posix" else name})

    @property
    def has_room(self) -> bool:
        """Whether it may be given a task now."""
        return not self.leaving and (not self.tasks or (len(self.tasks) == 1 and not self.fresh))

    def give(self, tasks: list[Task]) -> bool:
        """Hand rows over; returns whether they were, which large ones are not while others run."""
        content = pickle.dumps(tasks)
        if self.tasks and len(content) > _AHEAD_BYTES:
            return False
        self.tasks.append(tasks)
        self.fresh = False
        self._write(content)
        return True

    def answered(self) -> list[Task]:
        """The rows of an answer that has come."""
        self._answered += 1
        return self.tasks.pop(0)

    def running(self) -> tuple[Task, float] | None:
        """The row that it is in, and for how long; None where that is not known just now."""
        first, again = self._noted(), self._noted()
        if first != again or first.index < 0 or first.number != self._answered or not self.tasks:
            return None
        return self.tasks[0][first.index], time.monotonic() - first.since

    def memory(self) -> int:
        """Bytes of it that are in memory now; 0 where the platform does not say it."""
        with suppress(OSError, ValueError, AttributeError), open(f"/proc/{self._process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def end(self, *, grace: float = GRACE_SECONDS) -> None:
        """End it in the middle of what it does: asked first, then killed, with all that it has started."""
        signal_group(self._process.pid, signal.SIGTERM)
        ended(self._process, grace)
        self._close()

    def ask_to_leave(self) -> None:
        """Let it end by itself; `end` comes after it."""
        self.leaving = True
        self._write(pickle.dumps(None))

    @property
    def exit_code(self) -> int | None:
        """Known after the end."""
        return self._process.returncode

    def _close(self) -> None:
        self._processes.end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()
        with suppress(OSError):
            os.unlink(self._note_file)

    def is_gone(self) -> bool:
        """Whether it has ended without a word, asked twice: what it has started may hold its pipe open."""
        before, self._seen_ended = self._seen_ended, ended(self._process, 0.001)
        return before and self._seen_ended

    def wait(self, seconds: float) -> None:
        """Wait for the end that it was asked for."""
        ended(self._process, max(seconds, 0.001))

    def _noted(self) -> Note:
        return Note(int(self._note[0]), int(self._note[1]), self._note[2])

    def _send(self, message: Any) -> None:
        self._write(pickle.dumps(message))

    def _write(self, content: bytes) -> None:
        # Whoever cannot be written to has died, which the thread that reads finds out.
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(len(content).to_bytes(8, "little") + content)
            self._process.stdin.flush()

    def _read(self, answers: "SimpleQueue") -> None:
        """In a thread of its own: hands answers over until the worker has ended, which is None."""
        pipe = self._process.stdout
        assert pipe is not None
        try:
            with suppress(OSError, ValueError):
                while len(head := pipe.read(8)) == 8:
                    size = int.from_bytes(head, "little")
                    if len(content := pipe.read(size)) < size:
                        break
                    answers.put((self, pickle.loads(content)))
        finally:
            answers.put((self, None))
