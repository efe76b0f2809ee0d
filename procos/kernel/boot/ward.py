"""The engine in the kernel's care: started here, or attached to where it runs; asked how it is, and started again.

A `Keeper` starts an engine whose process ends. One that lives and does not answer for three health check intervals is
ended, so that its keeper starts it. Too many restarts in a short time end the kernel: whoever started it decides then.
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

from procos.domain.errors import EngineUnreachableError, PartFailedError
from procos.kernel import logs
from procos.kernel.boot.course import PAUSE_SECONDS
from procos.kernel.keeper import Keeper
from procos.kernel.probes import ask
from procos.kernel.stack import HealthReport, PartReport, Phase, StackState, Status, waiting

if TYPE_CHECKING:
    from procos.kernel.boot.course import Course
    from procos.kernel.nursery import Nursery
    from procos.kernel.part import Part
    from procos.kernel.stack import Item, PartState
    from procos.kernel.state import StackFolder
    from procos.settings import Settings

SILENT_INTERVALS = 3
MOST_RESTARTS = 10
RESTART_WINDOW = timedelta(minutes=10)


class Ward:
    """The care for one engine; what happens to it is announced, with the end of its log."""

    def __init__(
        self, part: Part, settings: Settings, course: Course, *, folder: StackFolder, nursery: Nursery
    ) -> None:
        self.part = part
        self._course = course
        self._folder = folder
        self._log = folder.log(part.name)
        self._nursery = nursery
        self._silence_limit = SILENT_INTERVALS * settings.health_check_interval
        self._inbox: SimpleQueue[Item] = SimpleQueue()
        self._keeper = Keeper(
            part, spawner=nursery, inbox=self._inbox, log=self._log,
            startup_limit=timedelta(seconds=settings.startup_timeout),
        )  # fmt: skip
        self._restarts: deque[float] = deque(maxlen=MOST_RESTARTS + 1)
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
        """
        if not self.is_own:
            self._keeper.start()
        self._await(Status.HEALTHY)
        self._become(replace(self._state, phase=Phase.READY))
        return self.part.note or self.part.address

    def turn(self) -> None:
        """Ask how it is, write that down, and see to what must not be left alone for ever.

        Raises:
            PartFailedError: it was started too often.
        """
        self._nursery.renew_guard()
        logs.bound(self._log)
        self._hear()
        self._become(self._state.with_report(self._asked(), now=time.time()))
        engine, silent = self.engine, time.time() - self.engine.since
        if self.is_own and engine.status is Status.UNHEALTHY and silent > self._silence_limit:
            self._keeper.restart(f"did not answer for {silent:.0f} s ({engine.reason})")
            self._hear()

    def stop(self) -> None:
        """End its process, if it is ours, within its grace."""
        self._become(replace(self._state, phase=Phase.STOPPING))
        asked = time.monotonic()
        if self.is_own:
            self._keeper.ask_to_stop()
            self._keeper.await_stop(asked=asked)
        self._become(replace(self._state, phase=Phase.STOPPED))

    def kill(self) -> None:
        """End its process at once; may be called by a signal handler."""
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

    def _hear(self) -> None:
        while True:
            try:
                self._apply(self._inbox.get_nowait())
            except Empty:
                return

    def _apply(self, item: Item) -> None:
        assert isinstance(item, PartReport)  # noqa: S101  # keepers send nothing else
        self._become(self._state.with_report(item, now=time.time()))
        if item.failure is not None:
            raise self._error(item)
        if item.is_restart:
            self._restarts.append(time.monotonic())
            words = f"the end of {self._log}:\n{logs.tail(self._log)}"
            self._course.announcer.happened(f"the engine {item.reason}", words)
            self._require_few_restarts(item.reason)
        if item.status is Status.HEALTHY and self.engine.restarts:
            self._course.announcer.happened(f"the engine is back (pid {item.pid})")

    def _require_few_restarts(self, reason: str) -> None:
        window = RESTART_WINDOW.total_seconds()
        if len(self._restarts) > MOST_RESTARTS and self._restarts[-1] - self._restarts[0] < window:
            text = f"was started {MOST_RESTARTS} times within {window / 60:g} minutes; the last time it {reason}"
            raise PartFailedError(self.part.name, text, log_tail=logs.tail(self._log))

    def _error(self, report: PartReport) -> PartFailedError | EngineUnreachableError:
        if not self.is_own:
            return EngineUnreachableError(self.part.address, report.reason, cure="PROCOS_ENGINE_URL names it.")
        return PartFailedError(self.part.name, report.reason, log_tail=logs.tail(self._log))

    def _asked(self) -> HealthReport:
        return HealthReport(name=self.part.name, reason=ask(self.part.probe))

    def _become(self, state: StackState) -> None:
        if state == self._state:
            return
        self._state = state
        self._folder.save_state(state)
