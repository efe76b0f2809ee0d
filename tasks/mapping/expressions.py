"""Evaluates the expressions of models, each within limits of time and memory, in processes that can be killed.

Python cannot stop a regular expression that backtracks, nor one call that makes a text of a gigabyte; either would hold
up every thread of a worker, its signs of life included, and have it taken for dead. So `procos.expressions` runs as a
program of its own, started with the first expression and kept: an evaluation costs a fraction of a millisecond.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procos import expressions as program
from procos.domain.errors import TransientError
from procos.domain.mapping import EXPRESSION_FAILED, length_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(program.__file__)
LIMIT = timedelta(seconds=2)
"""How long an evaluation may take; known between its steps, with words that say so."""
GRACE = timedelta(seconds=3)
"""How much longer, the way of the data included, until the process is killed: a single step looks at no clock."""
MOST = 4
"""Evaluations at once; it is work for the processor, so more of them would only wait for each other."""
TURN_SECONDS = 30.0
START_SECONDS = 30.0
END_SECONDS = 5.0
PIECE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What an expression yields: a value, where None is null as well as nothing, or the call of a judging function."""

    value: object = None
    verdict: Mapping[str, Any] | None = None


class Evaluators:
    """Processes that evaluate, started when needed and used again; may be shared by threads."""

    def __init__(self, *, limit: timedelta = LIMIT, grace: timedelta = GRACE, most: int = MOST) -> None:
        self._limit, self._grace, self._most = limit, grace, most
        self.forget()

    def forget(self) -> None:
        """Know no process: after a fork they are the parent's."""
        self._idle: list[_Evaluator] = []
        self._places = threading.BoundedSemaphore(self._most)

    def close(self) -> None:
        """End the processes that have nothing to do."""
        while self._idle:
            self._idle.pop().end()

    def evaluate(self, name: str, text: str, data: object, *, judges: bool = False) -> Evaluation:
        """Evaluate an expression over plain data; `name` is what the model calls it, `judges` lends it $bpmnError & co.

        Raises:
            TransientError: EXPRESSION_FAILED, whose words name the expression and what is wrong, without any data.
        """
        if fault := length_fault(text):
            raise failed(name, fault)
        asked = {"expression": text, "data": data, "judges": judges, "seconds": self._limit.total_seconds()}
        answer = json.loads(self._answer(name, json.dumps(asked).encode()))
        if "fault" in answer:
            raise failed(name, answer["fault"])
        return Evaluation(value=answer.get("value"), verdict=answer.get("verdict"))

    def _answer(self, name: str, request: bytes) -> bytes:
        if not self._places.acquire(timeout=TURN_SECONDS):
            raise failed(name, f"was not evaluated: others have taken all {self._most} places for {TURN_SECONDS:g} s")
        try:
            return self._exchange(request)
        except TimeoutError as error:
            limit = self._limit + self._grace
            raise failed(name, f"did not end within {limit.total_seconds():g} s") from error
        except (OSError, EOFError) as error:
            raise failed(name, "was not evaluated: the process for it has ended") from error
        finally:
            self._places.release()

    def _exchange(self, request: bytes) -> bytes:
        evaluator = self._free_one()
        is_done = False
        try:
            answer = evaluator.ask(request, within=self._limit + self._grace)
            is_done = True
        finally:  # whatever comes between, the limit of the task included: an answer under way is for nobody else
            if is_done:
                self._idle.append(evaluator)
            else:
                evaluator.end()
        return answer

    def _free_one(self) -> _Evaluator:
        with suppress(IndexError):
            while True:
                evaluator = self._idle.pop()
                if evaluator.is_alive():
                    return evaluator
                evaluator.end()
        return _Evaluator()


class _Evaluator:
    """One process, and the socket to it; one thread at a time."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            OSError, EOFError: it does not start.
        """
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-P", str(PROGRAM), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the library prints what it cannot call, which may be data
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
        self._socket.sendall(len(request).to_bytes(program.SIZE_BYTES) + request)
        return self._receive(end)

    def end(self) -> None:
        """Kill the process and let go of it."""
        self._socket.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)

    def _receive(self, end: float) -> bytes:
        return self._bytes(int.from_bytes(self._bytes(program.SIZE_BYTES, end)), end)

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


_SHARED = Evaluators()
atexit.register(_SHARED.close)
os.register_at_fork(after_in_child=_SHARED.forget)


def evaluate(name: str, text: str, data: object, *, judges: bool = False) -> Evaluation:
    """Evaluate an expression by the processes of this worker; see `Evaluators.evaluate`."""
    return _SHARED.evaluate(name, text, data, judges=judges)


def failed(name: str, fault: str) -> TransientError:
    """Make the error of a property of the model that cannot be applied; the engine's retry rule counts for it."""
    return TransientError(f"{name} {fault}", code=EXPRESSION_FAILED)
