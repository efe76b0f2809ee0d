"""Keeps one part alive: builds what it needs, starts it, waits for its health, starts it again when it dies.

Each part has a keeper with a thread of its own, so that parts come up side by side and the end of a process is noticed
the moment it comes, without polling. A keeper says what it sees to the supervisor's inbox and decides nothing else.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from procos.domain.errors import PartFailedError
from procos.kernel import logs
from procos.kernel.probes import ask
from procos.kernel.stack import Failure, PartReport, Status
from procos.logs import get_logger

if TYPE_CHECKING:
    from pathlib import Path
    from queue import SimpleQueue
    from typing import IO

    from procos.kernel.part import Command, Part
    from procos.kernel.stack import Item

log = get_logger(__name__)

BUILD_LIMIT = timedelta(minutes=35)
BUILD_IS_LONG = timedelta(seconds=2)
EXTERNAL_LIMIT = timedelta(seconds=10)
KILL_LIMIT = timedelta(seconds=5)
PAUSE = timedelta(milliseconds=150)
FIRST_DELAY = timedelta(milliseconds=500)
LONGEST_DELAY = timedelta(seconds=30)
OUR_CODES = frozenset({2, 3})
"""Exit codes of our own programs that say more than that they failed."""
STEADY_AFTER = timedelta(minutes=1)
"""A part that lived this long begins again with the first delay when it dies."""


class Process(Protocol):
    """A running child, as the nursery makes them."""

    pid: int
    created: float

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""

    def wait(self, limit: float | None = None) -> int | None:
        """Wait for the end; None when the limit passed first."""

    def listens_on(self, port: int) -> bool:
        """Whether it is this process that listens on the port."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it and its group at once."""


class Spawner(Protocol):
    """Where children are started."""

    def spawn(self, command: Command, *, log: Path, output: IO[bytes] | None = None) -> Process:
        """Start a command whose words go to the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """How a process ended, and how long it was healthy; None when it never was."""

    ending: str
    lasted: timedelta | None
    code: int | None = None


class Keeper:
    """The life of one part."""

    def __init__(
        self, part: Part, *, spawner: Spawner, inbox: SimpleQueue[Item], log: Path, startup_limit: timedelta
    ) -> None:
        self.part = part
        self._spawner = spawner
        self._inbox = inbox
        self._log = log
        self._startup_limit = part.startup_limit or startup_limit
        self._child: Process | None = None
        self._lock = threading.Lock()
        self._condemned = ""
        self._stopping = threading.Event()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self.keep, name=f"keeper-{part.name}", daemon=True)

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the part end and start it no more; returns at once."""
        with self._lock:
            self._stopping.set()
            if self._child is not None:
                self._child.terminate()

    def await_stop(self, *, asked: float) -> None:
        """Wait for the end as long as the part may take from when it was asked on the monotonic clock, then kill it."""
        if self._thread.ident is None:
            return
        self._thread.join(max(0.0, asked + self._grace() - time.monotonic()))
        if self._thread.is_alive():
            log.warning("part.killed", part=self.part.name)
            self.kill()
            self._thread.join(KILL_LIMIT.total_seconds())

    def restart(self, reason: str) -> None:
        """End a part that is up and of no use, so that it is started again; the reason is told as that of its end."""
        with self._lock:
            child, self._condemned = self._child, reason
        if child is not None and self._is_up.is_set():
            self._end(child)

    def kill(self) -> None:
        """End the part's processes at once; takes no lock, so that a signal handler may call it."""
        if self._child is not None:
            self._child.kill()

    def keep(self) -> None:
        """Keep the part alive until it is asked to stop, or until it fails to come up the first time."""
        try:
            if self.part.launch is None:
                self._ask_elsewhere()
            else:
                self._keep_alive(self.part.launch(self._build()))
        except PartFailedError as error:
            self._fail(error.reason)
        except Exception as error:
            # A keeper that ended in silence would leave the stack waiting for its part for ever.
            log.exception("part.keeper_failed", part=self.part.name)
            self._fail(f"cannot be started: {error}")

    def _keep_alive(self, command: Command) -> None:
        delay, has_been_up = timedelta(), False
        while not self._stopping.is_set():
            life = self._live(command)
            if self._stopping.is_set():
                return
            has_been_up = has_been_up or life.lasted is not None
            if not has_been_up:
                self._fail(life.ending, code=life.code)
                return
            delay = next_delay(delay, lasted=life.lasted)
            self._mourn(life, delay)
            self._stopping.wait(delay.total_seconds())

    def _live(self, command: Command) -> _Life:
        try:
            child = self._spawn(command)
        except OSError as error:
            return _Life(ending=f"cannot be started: {error}", lasted=None)
        self._say(Status.STARTING)
        trouble = self._await_health(self._startup_limit, child)
        if trouble is not None:
            code = child.poll()
            self._end(child)
            return _Life(ending=trouble, lasted=None, code=code)
        self._condemned = ""
        self._say(Status.HEALTHY)
        self._is_up.set()
        began = time.monotonic()
        # Without a limit: this thread has nothing else to do, and `ask_to_stop` ends the process it waits for.
        code = child.wait()
        ending = self._condemned or exit_text(code)
        self._is_up.clear()
        return _Life(ending=ending, lasted=timedelta(seconds=time.monotonic() - began))

    def _ask_elsewhere(self) -> None:
        limit = min(self._startup_limit, EXTERNAL_LIMIT) if self.part.is_external else self._startup_limit
        trouble = self._await_health(limit)
        if trouble is None:
            self._say(Status.HEALTHY)
        elif self.part.is_vital:
            cure = f" ({self.part.set_by} names it; without that, one is started here)" if self.part.set_by else ""
            self._fail(f"{trouble}{cure}")
        else:
            self._say(Status.UNHEALTHY, trouble)

    def _await_health(self, limit: timedelta, child: Process | None = None) -> str | None:
        began = time.monotonic()
        trouble: str | None = "not asked yet"
        while time.monotonic() - began < limit.total_seconds():
            trouble = ask(self.part.probe) or self._impostor(child)
            if child is not None and (code := child.poll()) is not None:
                return exit_text(code)
            if trouble is None and time.monotonic() - began >= self.part.settle.total_seconds():
                return None
            if self._stopping.wait(PAUSE.total_seconds()):
                return "was stopped"
        return f"is not healthy after {limit.total_seconds():g} s: {trouble or 'not steady yet'}"

    def _impostor(self, child: Process | None) -> str | None:
        """Say so when a healthy answer came from somebody else, who took the port after it was chosen."""
        port = self.part.port
        if child is None or port is None or child.listens_on(port):
            return None
        return f"another program answers on port {port}"

    def _build(self) -> str:
        if self.part.build is None:
            return ""
        with tempfile.TemporaryFile() as output:
            child = self._spawn(self.part.build, output)
            code = child.wait(BUILD_IS_LONG.total_seconds())
            if code is None:
                self._say(Status.BUILDING)
                code = child.wait(BUILD_LIMIT.total_seconds())
            if code != 0:
                self._end(child)
                raise PartFailedError(self.part.name, f"its build {exit_text(code)}")
            output.seek(0)
            return output.read().decode().strip().rpartition("\n")[2]

    def _spawn(self, command: Command, output: IO[bytes] | None = None) -> Process:
        with self._lock:
            # Asked to stop between two starts: what is started now would be nobody's to end.
            if self._stopping.is_set():
                raise PartFailedError(self.part.name, "was stopped")
            self._child = self._spawner.spawn(command, log=self._log, output=output)
            return self._child

    def _end(self, child: Process) -> None:
        child.terminate()
        if child.wait(self._grace()) is None:
            child.kill()
            child.wait(KILL_LIMIT.total_seconds())

    def _grace(self) -> float:
        # Who is not up yet may not even listen to signals.
        starting = min(self.part.grace, self.part.starting_grace)
        return (self.part.grace if self._is_up.is_set() else starting).total_seconds()

    def _mourn(self, life: _Life, delay: timedelta) -> None:
        log.warning("part.ended", part=self.part.name, ending=life.ending, delay=delay.total_seconds())
        self._inbox.put(PartReport(
            name=self.part.name, status=Status.RESTARTING, is_restart=True,
            reason=f"{life.ending}; starts again in {delay.total_seconds():g} s",
        ))  # fmt: skip

    def _fail(self, reason: str, *, code: int | None = None) -> None:
        if self._stopping.is_set():
            return
        is_process = self.part.launch is not None
        failure = Failure(
            part=self.part.name,
            reason=reason,
            log_tail=logs.tail(self._log) if is_process else "",
            log=str(self._log) if is_process else "",
            address=self.part.address,
            is_unreachable=self.part.is_external,
            exit_code=code if self.part.is_ours and code in OUR_CODES else 1,
        )
        self._inbox.put(PartReport(name=self.part.name, status=Status.FAILED, reason=reason, failure=failure))

    def _say(self, status: Status, reason: str = "") -> None:
        child = self._child if status is not Status.UNHEALTHY else None
        self._inbox.put(PartReport(
            name=self.part.name, status=status, reason=reason,
            pid=child.pid if child else None, created=child.created if child else None,
        ))  # fmt: skip


def next_delay(last: timedelta, *, lasted: timedelta | None) -> timedelta:
    """Return how long to wait before the next start, twice as long each time until the part lives steadily."""
    if lasted is not None and lasted >= STEADY_AFTER:
        return FIRST_DELAY
    return min(max(2 * last, FIRST_DELAY), LONGEST_DELAY)


def exit_text(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "did not end in time"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"
