"""Small programs beside a worker, for work that Python cannot stop: asked over a socket, killed where they are late.

A regular expression that backtracks, one call that makes a text of a gigabyte, or a schema that has to be looked at a
billion times would hold up every thread of a worker, its signs of life included, and have it taken for dead. Done here
it costs a process. Programs are started when needed and kept: a question costs a fraction of a millisecond.

What they run is `tasks.side_program`, which has the answers of one module. `tasks.mapping.expressions` and
`tasks.generic.json_schema` are the callers.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import side_program
from tasks.side_program import SIZE_BYTES

if TYPE_CHECKING:
    from datetime import timedelta

PROGRAM = Path(side_program.__file__)
MOST = 4
"""Questions at once; it is work for the processor, so more of them would only wait for each other."""
TURN_SECONDS = 30.0
START_SECONDS = 30.0
END_SECONDS = 5.0
ORPHAN_SECONDS = 5.0
"""How much longer a program works at one answer than its worker would let it."""
PIECE = 1 << 16


class NoPlaceError(Exception):
    """Raised where others have taken all places for too long; says so."""


class SideProcesses:
    """Processes that answer by one module, started when needed and used again; may be shared by threads."""

    def __init__(self, module: Path, *, within: timedelta, most: int = MOST) -> None:
        """Start nothing yet.

        Args:
            module: the file whose `answer` is asked.
            within: how long an answer may take, the way of the data included, until the process is killed.
            most: how many may be asked at once.
        """
        self._module, self._within, self._most = module, within, most
        self.forget()

    def forget(self) -> None:
        """Know no process: after a fork they are the parent's."""
        self._idle: list[_SideProcess] = []
        self._places = threading.BoundedSemaphore(self._most)

    def close(self) -> None:
        """End the processes that have nothing to do."""
        while self._idle:
            self._idle.pop().end()

    def share(self) -> None:
        """Last as long as the worker's process does, and be forgotten by those forked from it."""
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self.forget)

    def ask(self, request: bytes) -> bytes:
        """Send a request to a free process and return its answer.

        Raises:
            NoPlaceError: all places are taken.
            TimeoutError: there was no answer in time; the process was killed.
            OSError, EOFError: the process does not start, or has ended.
        """
        if not self._places.acquire(timeout=TURN_SECONDS):
            raise NoPlaceError(f"others have taken all {self._most} places for {TURN_SECONDS:g} s")
        try:
            return self._exchange(request)
        finally:
            self._places.release()

    def _exchange(self, request: bytes) -> bytes:
        process = self._free_one()
        is_done = False
        try:
            answer = process.ask(request, within=self._within)
            is_done = True
        finally:  # whatever comes between, the limit of the task included: an answer under way is for nobody else
            if is_done:
                self._idle.append(process)
            else:
                process.end()
        return answer

    def _free_one(self) -> _SideProcess:
        with suppress(IndexError):
            while True:
                process = self._idle.pop()
                if process.is_alive():
                    return process
                process.end()
        return _SideProcess(self._module, alone=self._within.total_seconds() + ORPHAN_SECONDS)


class _SideProcess:
    """One process, and the socket to it; one thread at a time."""

    def __init__(self, module: Path, *, alone: float) -> None:
        """Start it.

        Args:
            module: the file whose `answer` is asked.
            alone: the seconds after which it ends by itself over one request.

        Raises:
            OSError, EOFError: it does not start.
        """
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-P", str(PROGRAM), str(module), str(theirs.fileno()), str(alone)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # a library may print what it cannot use, which may be data
                stderr=subprocess.DEVNULL,
            )
        try:
            self._receive(time.monotonic() + START_SECONDS)
        except (OSError, EOFError):
            self.end()
            raise

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: bytes, *, within: timedelta) -> bytes:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: there is none in time; end the process.
            OSError, EOFError: the process has ended.
        """
        end = time.monotonic() + within.total_seconds()
        self._socket.settimeout(within.total_seconds())
        self._socket.sendall(len(request).to_bytes(SIZE_BYTES) + request)
        return self._receive(end)

    def end(self) -> None:
        """Kill the process and let go of it."""
        self._socket.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)

    def _receive(self, end: float) -> bytes:
        return self._bytes(int.from_bytes(self._bytes(SIZE_BYTES, end)), end)

    def _bytes(self, count: int, end: float) -> bytes:
        found = bytearray()
        while len(found) < count:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            piece = self._socket.recv(min(count - len(found), PIECE))
            if not piece:
                raise EOFError
            found += piece
        return bytes(found)
