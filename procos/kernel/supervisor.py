"""Brings the parts up in the order of their needs, watches over them and stops them in the reverse order.

It owns the state: keepers and health checks put what they see into its inbox, and the one thread that runs it reads
them. A part is started when all it needs is up, so parts that do not need each other come up side by side. The first
part that does not come up ends the start; one that dies later is its keeper's business.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

import psutil

from procos.kernel import logs
from procos.kernel.health import HealthChecks
from procos.kernel.keeper import Keeper
from procos.kernel.nursery import Nursery
from procos.kernel.signals import on_signals
from procos.kernel.stack import HealthReport, PartReport, Phase, StackState, Status, StopRequest, waiting
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from procos.kernel.part import Name, Part
    from procos.kernel.plan import Plan
    from procos.kernel.stack import Failure, Item
    from procos.kernel.state import StackFolder

log = get_logger(__name__)

INBOX_TICK = 60.0
UP = frozenset({Status.HEALTHY, Status.UNHEALTHY})


class Observer(Protocol):
    """Shows people what happens."""

    def show(self, state: StackState) -> None:
        """Show what is new in this state."""


class Supervisor:
    """The watch over one stack, from its start to its end."""

    def __init__(
        self, plan: Plan, *, folder: StackFolder, startup_limit: timedelta, health_interval: timedelta,
        observer: Observer,
    ) -> None:  # fmt: skip
        self._plan = plan
        self._folder = folder
        self._startup_limit = startup_limit
        self._health_interval = health_interval
        self._observer = observer
        self._inbox: SimpleQueue[Item] = SimpleQueue()
        self._keepers: dict[Name, Keeper] = {}
        self._begun: set[Name] = set()
        self._is_taking_leave = False
        self._is_hurried = False
        self._state = _first_state(plan)

    def run(self) -> Failure | None:
        """Run the stack until it is asked to stop or a part does not come up; that failure is returned."""
        with on_signals(self._on_signal), Nursery() as nursery:
            self._prepare(nursery)
            try:
                with HealthChecks(
                    self._plan.parts, inbox=self._inbox, nursery=nursery, folder=self._folder,
                    interval=self._health_interval,
                ):  # fmt: skip
                    self._watch()
            finally:
                self._stop()
        return self._state.failure

    def conclude(self) -> None:
        """Say to whoever follows the stack that this was all."""
        self._become(replace(self._state, phase=Phase.FAILED if self._state.failure else Phase.STOPPED))

    def _prepare(self, nursery: Nursery) -> None:
        for part in self._plan.parts:
            log_file = self._folder.log(part.log_name)
            logs.begin(log_file)
            self._keepers[part.name] = Keeper(
                part, spawner=nursery, inbox=self._inbox, log=log_file, startup_limit=self._startup_limit
            )
        self._folder.save_environment(self._plan.environment)
        self._become(self._state)

    def _watch(self) -> None:
        while self._state.failure is None:
            self._start_those_ready()
            item = self._next()
            if isinstance(item, StopRequest):
                return
            self._apply(item)

    def _start_those_ready(self) -> None:
        up = {part.name for part in self._state.parts if part.status in UP}
        for part in self._plan.parts:
            if part.name not in self._begun and part.needs <= up:
                self._begun.add(part.name)
                self._keepers[part.name].start()

    def _next(self) -> Item:
        while True:
            with suppress(Empty):
                return self._inbox.get(timeout=INBOX_TICK)

    def _apply(self, item: PartReport | HealthReport) -> None:
        state = self._state.with_report(item, now=time.time())
        if isinstance(item, PartReport) and item.failure is not None:
            state = replace(state, failure=item.failure)
        if state.phase is Phase.STARTING and state.is_up():
            state = replace(state, phase=Phase.READY)
        if state != self._state:
            self._become(state)

    def _become(self, state: StackState) -> None:
        self._state = state
        try:
            self._folder.save_state(state)
        except OSError:
            # A full disk makes `procos status` stale; it is no reason to take the parts down.
            log.exception("stack.state_not_saved")
        self._observer.show(state)

    def _stop(self) -> None:
        was_ready = self._state.phase is Phase.READY
        self._become(replace(self._state, phase=Phase.STOPPING))
        if was_ready and self._plan.farewell is not None:
            self._take_leave(self._plan.farewell)
        for level in stop_levels(self._plan.parts):
            asked = time.monotonic()
            for part in level:
                self._keepers[part.name].ask_to_stop()
            for part in level:
                self._keepers[part.name].await_stop(asked=asked)
                if part.name in self._begun and self._state.part(part.name).status is not Status.FAILED:
                    report = PartReport(name=part.name, status=Status.STOPPED)
                    self._become(self._state.with_report(report, now=time.time()))

    def _take_leave(self, farewell: Callable[[Callable[[float], bool]], str]) -> None:
        def is_hurried(seconds: float) -> bool:
            threading.Event().wait(seconds)
            return self._is_hurried

        self._is_taking_leave = True
        log.info("stack.farewell", outcome=farewell(is_hurried))
        self._is_taking_leave = False
        if self._is_hurried:
            self._kill_all()

    def _kill_all(self) -> None:
        for keeper in self._keepers.values():
            keeper.kill()

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGINT and self._state.phase is Phase.STOPPING:
            # Ctrl-C for the second time: somebody does not want to wait.
            self._is_hurried = True
            if not self._is_taking_leave:  # what is unfinished is to be deleted first, at an engine that lives
                self._kill_all()
        # A simple queue may be filled from a handler that interrupts the very thread that reads it.
        self._inbox.put(StopRequest())


def stop_levels(parts: Sequence[Part]) -> list[list[Part]]:
    """Return the parts in the order of stopping: in each level those that nobody who still runs needs."""
    left, levels = list(parts), []
    while left:
        needed = {need for part in left for need in part.needs}
        level = [part for part in left if part.name not in needed]
        levels.append(level)
        left = [part for part in left if part.name in needed]
    return levels


def _first_state(plan: Plan) -> StackState:
    now = time.time()
    return StackState(
        pid=os.getpid(),
        created=psutil.Process().create_time(),
        parts=tuple(waiting(part, now=now) for part in plan.parts),
        warnings=plan.warnings,
    )
