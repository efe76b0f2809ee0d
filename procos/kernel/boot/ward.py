"""The engine in the kernel's care: started here, or attached to where it runs; asked how it is, and started again.

A `Keeper` starts an engine whose process ends. One that lives and does not answer for three health check intervals is
ended, so that its keeper starts it. Too many restarts end the kernel: whoever started it decides then.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import replace
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import psutil

from procos.domain.errors import EngineBusyError, EngineUnreachableError, PartFailedError, UnreachableError
from procos.kernel import logs
from procos.kernel.boot.course import PAUSE_SECONDS
from procos.kernel.keeper import Keeper
from procos.kernel.probes import ask
from procos.kernel.stack import HealthReport, PartReport, Phase, StackState, Status, waiting
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.kernel.boot.course import Course
    from procos.kernel.nursery import Nursery
    from procos.kernel.part import Part
    from procos.kernel.stack import Item, PartState
    from procos.kernel.state import StackFolder
    from procos.settings import Settings

SILENT_INTERVALS = 3
MOST_RESTARTS = 10
RESTART_WINDOW = timedelta(minutes=10)
MOST_IN_VAIN = 3
"""Starts in a row after which it never answered."""

log = get_logger(__name__)


class Ward:
    """The care for one engine; what happens to it is announced, with the end of its log.

    `greet` asks an engine as its clients do, and raises what they would.
    """

    def __init__(
        self, part: Part, settings: Settings, course: Course, *, folder: StackFolder, nursery: Nursery,
        greet: Callable[[], object],
    ) -> None:  # fmt: skip
        self.part = part
        self._course = course
        self._folder = folder
        self._log = folder.log(part.name)
        self._nursery = nursery
        self._greet = greet
        self._startup_limit = timedelta(seconds=settings.startup_timeout)
        self._silence_limit = SILENT_INTERVALS * settings.health_check_interval
        self._silent_since: float | None = None
        self._inbox: SimpleQueue[Item] = SimpleQueue()
        self._keeper = Keeper(
            part, spawner=nursery, inbox=self._inbox, log=self._log, startup_limit=self._startup_limit
        )
        self._restarts: deque[float] = deque(maxlen=MOST_RESTARTS + 1)
        self._in_vain = 0
        self._state = StackState(
            pid=os.getpid(), created=psutil.Process().create_time(), parts=(waiting(part, now=time.time()),)
        )

    @property
    def is_own(self) -> bool:
        """Whether the engine's process is ours."""
        return self.part.launch is not None

    @property
    def engine(self) -> PartState:
        """The engine as it is now."""
        return self._state.parts[0]

    def start(self) -> str:
        """Start its process, building it first where need be; returns what runs where.

        Raises:
            PartFailedError: it cannot be built or started; carries the end of its log.
        """
        if not self.is_own:
            return f"attached to {self.part.address}"
        logs.begin(self._log)
        self._keeper.start()
        self._await(Status.STARTING, Status.HEALTHY)
        return f"pid {self.engine.pid}, {self.part.address}"

    def await_ready(self) -> str:
        """Wait until it answers.

        Raises:
            PartFailedError: it ended, or does not answer in time; carries the end of its log.
            EngineUnreachableError: an engine elsewhere does not answer in time.
            EngineDeniedError, EngineMisconfiguredError: it answers, and will not let us in.
        """
        if self.is_own:
            self._await(Status.HEALTHY)
        else:
            trouble = self._course.await_answer(self._greeted, limit=self._startup_limit, what="engine")
            if trouble is not None:
                raise EngineUnreachableError(self.part.address, trouble, cure="PROCOS_ENGINE_URL names it.")
            report = PartReport(name=self.part.name, status=Status.HEALTHY)
            self._become(self._state.with_report(report, now=time.time()))
        self._become(replace(self._state, phase=Phase.READY))
        return self.part.note or self.part.address

    def turn(self) -> None:
        """Ask how it is, write that down, and see to what must not be left alone for ever.

        Raises:
            PartFailedError: it was started too often.
        """
        self._do_chores()
        self.hear()
        health = HealthReport(name=self.part.name, reason=ask(self.part.probe))
        self._become(self._state.with_report(health, now=time.time()))
        self._end_if_silent()

    def hear(self) -> None:
        """Take in what has happened to it.

        Raises:
            PartFailedError: it was started too often.
        """
        while True:
            try:
                self._apply(self._inbox.get_nowait())
            except Empty:
                return

    def stop(self) -> None:
        """End its process, if it is ours, within its grace."""
        asked = time.monotonic()
        if self.is_own:
            self._keeper.ask_to_stop()
        self._become(replace(self._state, phase=Phase.STOPPING))
        if self.is_own:
            self._keeper.await_stop(asked=asked)
        self._become(replace(self._state, phase=Phase.STOPPED))

    def kill(self) -> None:
        """End its process at once; takes no lock, so that a signal handler may call it while it is being stopped."""
        self._keeper.kill()

    def _await(self, *wanted: Status) -> None:
        while self.engine.status not in wanted:
            self._course.pause(0)
            try:
                self._apply(self._inbox.get(timeout=PAUSE_SECONDS))
            except Empty:
                continue
            if self.engine.status is Status.BUILDING:
                self._course.tell("the engine is built first, which takes some minutes once")

    def _greeted(self) -> str | None:
        try:
            self._greet()
        except UnreachableError as error:
            return error.reason
        except EngineBusyError as error:
            return str(error)
        return None

    def _do_chores(self) -> None:
        try:
            self._nursery.renew_guard()
            logs.bound(self._log)
        except OSError:
            # A full disk is no reason to take the engine down.
            log.exception("kernel.chores_failed")

    def _end_if_silent(self) -> None:
        if self.engine.status is not Status.UNHEALTHY:
            self._silent_since = None
            return
        now = self._course.clock()
        self._silent_since = now if self._silent_since is None else self._silent_since
        silent = now - self._silent_since
        if self.is_own and silent > self._silence_limit:
            self._silent_since = None
            self._keeper.restart(f"did not answer for {silent:.0f} s ({self.engine.reason})")
            self.hear()

    def _apply(self, item: Item) -> None:
        assert isinstance(item, PartReport)  # noqa: S101  # keepers send nothing else
        self._become(self._state.with_report(item, now=time.time()))
        if item.failure is not None:
            raise PartFailedError(self.part.name, item.reason, log_tail=logs.tail(self._log))
        if item.is_restart:
            words = f"the end of {self._log}:\n{logs.tail(self._log)}"
            self._course.announcer.happened(f"the engine {item.reason}", words)
            self._note_restart(item.reason)
        if item.status is Status.HEALTHY:
            self._in_vain = 0
            if self.engine.restarts:
                self._course.announcer.happened(f"the engine is back (pid {item.pid})")

    def _note_restart(self, reason: str) -> None:
        self._restarts.append(self._course.clock())
        self._in_vain += 1
        window = RESTART_WINDOW.total_seconds()
        if len(self._restarts) > MOST_RESTARTS and self._restarts[-1] - self._restarts[0] < window:
            self._give_up(f"was started {MOST_RESTARTS} times within {window / 60:g} minutes", reason)
        if self._in_vain > MOST_IN_VAIN:
            self._give_up(f"was started {MOST_IN_VAIN} times and never answered", reason)

    def _give_up(self, what: str, reason: str) -> None:
        raise PartFailedError(self.part.name, f"{what}; the last time it {reason}", log_tail=logs.tail(self._log))

    def _become(self, state: StackState) -> None:
        if state == self._state:
            return
        self._state = state
        try:
            self._folder.save_state(state)
        except OSError:
            # The same: `procos status` shows what was, and the engine goes on.
            log.exception("kernel.state_not_saved")
