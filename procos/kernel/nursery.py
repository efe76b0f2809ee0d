"""Starts processes so that none outlives the supervisor, even one that is killed.

Every process leads a session and process group of its own, so that neither Ctrl-C nor a closed terminal reaches it
before we have decided the order of stopping. It is noted at the guard before it does anything else, and all of its
group goes when it goes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import psutil

from procos.kernel import guard

if TYPE_CHECKING:
    from procos.kernel.part import Command

ANNOUNCED = """(printf '+%s\\n' "$$" >&0); exec "$@" </dev/null"""
"""Its standard input is at first the pipe to the guard, on which the child notes itself before it becomes the command.
So there is no moment at which a supervisor could be killed and leave a process the guard knows nothing of."""

GUARD_LIMIT = guard.GRACE_SECONDS + 5


class Child:
    """One process of ours, and with it its process group."""

    def __init__(self, process: subprocess.Popen[bytes], nursery: Nursery) -> None:
        self._process = process
        self._nursery = nursery
        self.pid = process.pid
        self.created = _created(process.pid)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._nursery.forget(self)
        return code

    def wait(self, limit: float | None = None) -> int | None:
        """Wait for its end and clear away the rest of its group; None when the limit passed first."""
        try:
            code = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        self._nursery.forget(self)
        return code

    def listens_on(self, port: int) -> bool:
        """Whether it is this process that listens on the port, as far as the system tells."""
        try:
            connections = psutil.Process(self.pid).net_connections(kind="tcp")
        except psutil.AccessDenied:
            return True
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)

    def terminate(self) -> None:
        """Ask the process, not its group, to end: a worker stops its own children in the right order."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End the whole group at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class Nursery:
    """Where children are started; leave the context only when they have ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: dict[int, Child] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.renew_guard()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._dismiss_guard()

    def spawn(self, command: Command, *, log: Path, output: IO[bytes] | None = None) -> Child:
        """Start a command whose words go to the log; `output` takes its standard output instead.

        Raises:
            OSError: the folder does not exist or no process can be made.
        """
        with log.open("ab") as words, self._lock:
            process = self._start(command, output or words, words)
            child = Child(process, self)
            self._children[child.pid] = child
        return child

    def forget(self, child: Child) -> None:
        """Clear away what is left of an ended child's group, and cross it off at the guard."""
        with self._lock:
            if self._children.pop(child.pid, None) is None:
                return
            child.kill()
            self._tell(f"-{child.pid}\n")

    def renew_guard(self) -> None:
        """Start the guard, or another one when it was killed, and tell it whom to watch."""
        with self._lock:
            if self._guard is None or self._guard.poll() is not None:
                self._dismiss_guard()
                self._guard = _start_guard()
                self._tell("".join(f"+{pid}\n" for pid in self._children))

    def _start(self, command: Command, output: IO[bytes], words: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # our own commands
            ["/bin/sh", "-c", ANNOUNCED, "sh", *command.arguments],
            stdin=self._guard.stdin if self._guard else subprocess.DEVNULL,
            stdout=output,
            stderr=words,
            cwd=command.directory,
            env=dict(command.environment),
            start_new_session=True,
        )

    def _dismiss_guard(self) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with suppress(BrokenPipeError):
                self._guard.stdin.close()
            _await_end(self._guard)

    def _tell(self, text: str) -> None:
        # A guard that was killed is replaced at the next health check, and told everything then.
        with suppress(BrokenPipeError):
            if self._guard is not None and self._guard.stdin is not None:
                self._guard.stdin.write(text.encode())
                self._guard.stdin.flush()


def _start_guard() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # our own file
        [sys.executable, "-I", "-S", str(Path(guard.__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd="/",
        start_new_session=True,
    )


def _await_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(GUARD_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()


def _created(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0
