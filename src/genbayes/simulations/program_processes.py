"""Programs that run as processes of their own: each in a group that ends as a whole, none that outlives its parent.

Nothing here imports this package: worker processes receive these functions whole.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import types
from contextlib import suppress
from pathlib import Path
from typing import IO

# Between the request to end and the end, for a program that has run out of time.
_GRACE_SECONDS = 2.0
# A variable that every program inherits, by which it is found.
_MARK = "GENBAYES_PROGRAMS"
# A process of its own that reads which groups run, and kills them when it reads the end: its parent is gone. A program
# that had been started and not yet told of is found by its mark, where there is /proc; it may still have to appear.
_WATCHDOG = """
import os, sys, time
groups, mark = set(), sys.argv[1].encode()
for line in iter(sys.stdin.readline, ""):
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))

def kill(end, number):
    try:
        end(number, 9)
    except OSError:
        pass

for group in groups:
    kill(os.killpg, group)
for seconds in (0, 0.2, 1):
    time.sleep(seconds)
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read().split(b"\\0"):
                    kill(os.kill, int(name))
        except OSError:
            pass
"""


class Processes:
    """The programs that one job runs in this process; another process makes one of its own of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._stopped = False
        self._watchdog: subprocess.Popen | None = None
        self._mark = os.urandom(12).hex()

    def __reduce__(self) -> tuple:
        return _of_this_process, ()

    def run(
        self,
        command: list[str],
        *,
        folder: str,
        environment: dict[str, str],
        streams: tuple[IO[bytes] | int, IO[bytes], IO[bytes]],
        timeout: float | None = None,
        memory_limit: int | None = None,
    ) -> int | None:
        """Run a program to its end, and whatever it has started with it.

        Args:
            command: the program and its arguments.
            folder: in which it runs.
            environment: all variables of it.
            streams: standard input, output and error.
            timeout: seconds after which it is asked to end, and killed two seconds later.
            memory_limit: most bytes of address space; the caller knows that the platform has such a limit.

        Returns:
            The exit code, negative for a signal; None after the time limit.

        Raises:
            OSError: it cannot be started.
            KeyboardInterrupt: `stop` was called.
        """
        if self._stopped:
            raise KeyboardInterrupt
        self._watch()
        environment = {**environment, _MARK: self._mark}
        stdin, stdout, stderr = streams
        limited = None if memory_limit is None else limited_command(command, memory_limit)
        # A session is a group of processes, which Ctrl-C in the terminal does not reach: `stop` ends it.
        process = subprocess.Popen(
            limited or command,
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        in_time = True
        try:
            self._note(process.pid, running=True)
            if memory_limit is not None and limited is None:
                _limit_memory(process.pid, memory_limit)
            in_time = ended(process, timeout)
            if not in_time:
                signal_group(process.pid, signal.SIGTERM)
                ended(process, _GRACE_SECONDS)
        finally:
            # Nobody has waited for the process yet, so that its number is still that of its group.
            signal_group(process.pid, signal.SIGKILL)
            self._note(process.pid, running=False)
            process.wait()
        if self._stopped:
            raise KeyboardInterrupt
        return process.returncode if in_time else None

    def begin(self, command: list[str], handle: int, added: dict[str, str]) -> subprocess.Popen:
        """Start a program that talks to this process by its standard input and output; `end` ends it.

        Args:
            command: the program and its arguments.
            handle: of an open file that it gets, by the same number, where the platform hands over files.
            added: variables beside those of this process.
        """
        self._watch()
        process = subprocess.Popen(
            command,
            env={**os.environ, **added, _MARK: self._mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            pass_fds=(handle,) if os.name == "posix" else (),
        )
        self._note(process.pid, running=True)
        return process

    def end(self, process: subprocess.Popen) -> None:
        """Kill what `begin` has started, and whatever that has started."""
        signal_group(process.pid, signal.SIGKILL)
        self._note(process.pid, running=False)
        process.wait()

    def stop(self) -> None:
        """Kill all that runs, and start nothing more."""
        with self._lock:
            self._stopped = True
            for group in self._running:
                signal_group(group, signal.SIGKILL)
            watchdog, self._watchdog = self._watchdog, None
            if watchdog is not None:
                # Nothing is left for it: it was told of all that has ended, and what was killed just now has ended too.
                watchdog.kill()
                watchdog.communicate()

    def _watch(self) -> None:
        """Start the watchdog, before the first program."""
        with self._lock:
            if self._watchdog is not None or self._stopped or not sys.executable:
                return
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _WATCHDOG, f"{_MARK}={self._mark}"],
                # Without the mark of a program that this process may be itself.
                env={name: value for name, value in os.environ.items() if name != _MARK},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _note(self, group: int, *, running: bool) -> None:
        with self._lock:
            (self._running.add if running else self._running.discard)(group)
            if running and self._stopped:
                signal_group(group, signal.SIGKILL)
                return
            if self._watchdog is not None and self._watchdog.stdin is not None:
                # Whoever has killed the watchdog does without it.
                with suppress(OSError):
                    self._watchdog.stdin.write(b"%s%d\n" % (b"+" if running else b"-", group))
                    self._watchdog.stdin.flush()


def _of_this_process() -> Processes:
    """The one for the jobs of an executor in another process, which may run rows of many tasks."""
    state = sys.modules.setdefault("_genbayes_programs", types.ModuleType("_genbayes_programs"))
    return state.__dict__.setdefault("processes", Processes())


def ended(process: subprocess.Popen, timeout: float | None) -> bool:
    """Wait for the end of a process, without taking its exit code; whether it came in time."""
    try:
        end = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        # Not Linux, or an old one.
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True
    try:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(1, round(1000 * timeout))))
    finally:
        os.close(end)


def signal_group(group: int, number: int) -> None:
    """Send a signal to a process group that may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def can_limit_memory() -> bool:
    """Whether the platform has such a limit: Linux."""
    try:
        import resource
    except ImportError:
        return False
    return hasattr(resource, "prlimit")


def limited_command(command: list[str], limit: int) -> list[str] | None:
    """The command begun by prlimit (of util-linux), so that the program has its limit from its first instruction.

    Returns:
        None where there is no prlimit, or the system may not be able to start the program: it would tell nobody why.
    """
    wrapper = shutil.which("prlimit")
    if wrapper is None or not os.path.isabs(command[0]):
        return None
    try:
        with open(command[0], "rb") as file:
            # What is neither would be run by a shell.
            known = file.read(4).startswith((b"\x7fELF", b"#!"))
    except OSError:
        return None
    return [wrapper, f"--as={limit}", "--", *command] if known and os.access(command[0], os.X_OK) else None


def _limit_memory(process: int, limit: int) -> None:
    """Set from outside, since code between fork and exec may hang in a process with threads, such as those of JAX."""
    import resource

    with suppress(ProcessLookupError):
        resource.prlimit(process, resource.RLIMIT_AS, (limit, limit))


def last_lines(*paths: Path) -> str:
    """The last lines of the first of these files that has any, in one line."""
    for path in paths:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
        lines = [" ".join(line.split()) for line in lines if line.strip()][-3:]
        if lines:
            text = " / ".join(lines)
            return text if len(text) <= 250 else f"...{text[-247:]}"
    return ""
