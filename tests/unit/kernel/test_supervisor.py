from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from procos.kernel import keeper
from procos.kernel.part import Command, Name, Part
from procos.kernel.plan import Plan
from procos.kernel.stack import Phase, StackState, Status
from procos.kernel.supervisor import Supervisor, stop_levels

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.kernel.state import StackFolder


@dataclass
class Watcher:
    """Notes every state, and does something when the stack is ready."""

    when_ready: Callable[[StackState], None] = lambda _: signal.raise_signal(signal.SIGTERM)
    states: list[StackState] = field(default_factory=list)

    def show(self, state: StackState) -> None:
        was_ready = any(earlier.phase is Phase.READY for earlier in self.states)
        self.states.append(state)
        if state.phase is Phase.READY and not was_ready:
            self.when_ready(state)

    def order_of(self, status: Status) -> list[str]:
        seen: list[str] = []
        for state in self.states:
            seen += [part.name for part in state.parts if part.status is status and part.name not in seen]
        return seen


@pytest.fixture
def supervise(folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(keeper, "PAUSE", timedelta(milliseconds=5))
    monkeypatch.setattr(keeper, "FIRST_DELAY", timedelta())

    def run(*parts: Part, watcher: Watcher, farewell: Any = None) -> Any:
        plan = Plan(
            parts=parts, environment={"PROCOS_REDIS_URL": "redis://here"}, warnings=("weaker",), farewell=farewell
        )
        supervisor = Supervisor(
            plan, folder=folder, observer=watcher,
            startup_limit=timedelta(seconds=2), health_interval=timedelta(seconds=60),
        )  # fmt: skip
        failure = supervisor.run()
        supervisor.conclude()
        return failure

    return run


def shell(script: str) -> Callable[[str], Command]:
    command = Command(
        arguments=("/bin/sh", "-c", script), environment={"PATH": "/usr/bin:/bin"}, directory=Path("/")
    )  # fmt: skip
    return lambda _built: command


SLEEPER = shell("exec sleep 60")


class TestSupervisor:
    def test_starts_what_others_need_first_and_stops_it_last(
        self, fakes: Any, supervise: Any, folder: StackFolder
    ) -> None:
        redis = fakes.part(Name.REDIS, launch=SLEEPER)
        worker = fakes.part(Name.WORKER_AI, launch=SLEEPER, needs=[Name.REDIS])
        watcher = Watcher()

        failure = supervise(worker, redis, watcher=watcher)

        assert failure is None
        assert watcher.order_of(Status.HEALTHY) == ["redis", "worker-ai"]
        assert watcher.order_of(Status.STOPPED) == ["worker-ai", "redis"]
        last = folder.state()
        assert last is not None
        assert (last.phase, last.pid) == (Phase.STOPPED, os.getpid())

    def test_keeps_the_addresses_where_other_commands_find_them(
        self, fakes: Any, supervise: Any, folder: StackFolder
    ) -> None:
        found: list[Any] = []

        def look(_: StackState) -> None:
            with folder.locked():
                found.append(folder.environment())
            signal.raise_signal(signal.SIGINT)

        supervise(fakes.part(launch=SLEEPER), watcher=Watcher(when_ready=look))

        assert found == [{"PROCOS_REDIS_URL": "redis://here"}]

    def test_stops_the_rest_when_one_part_does_not_come_up(self, fakes: Any, supervise: Any) -> None:
        redis = fakes.part(Name.REDIS, launch=SLEEPER)
        broken = fakes.part(
            Name.BROKER, launch=shell("echo no such table; exit 7"), probe=fakes.probe("connection refused"),
            needs=[Name.REDIS],
        )  # fmt: skip
        watcher = Watcher()

        failure = supervise(redis, broken, watcher=watcher)

        assert (failure.part, failure.reason, failure.log_tail) == ("broker", "ended with code 7", "no such table")
        last = watcher.states[-1]
        assert (last.phase, last.failure) == (Phase.FAILED, failure)
        assert [part.status for part in last.parts] == [Status.STOPPED, Status.FAILED]

    def test_never_starts_what_needs_a_part_that_does_not_come_up(self, fakes: Any, supervise: Any) -> None:
        started: list[str] = []
        broken = fakes.part(Name.REDIS, launch=shell("exit 1"), probe=fakes.probe("connection refused"))
        worker = fakes.part(Name.WORKER_AI, launch=lambda _: started.append("worker-ai"), needs=[Name.REDIS])

        supervise(broken, worker, watcher=Watcher())

        assert started == []

    def test_starts_a_part_again_that_was_killed(self, fakes: Any, supervise: Any) -> None:
        class Killer(Watcher):
            def show(self, state: StackState) -> None:
                super().show(state)
                part = state.part("redis")
                if part.status is Status.HEALTHY and part.pid:
                    os.kill(part.pid, signal.SIGKILL) if not part.restarts else signal.raise_signal(signal.SIGTERM)

        watcher = Killer(when_ready=lambda _: None)

        supervise(fakes.part(launch=SLEEPER), watcher=watcher)

        part = watcher.states[-1].part("redis")
        assert part.restarts == 1
        assert Status.RESTARTING in [state.part("redis").status for state in watcher.states]

    def test_kills_what_does_not_end_when_somebody_presses_ctrl_c_twice(self, fakes: Any, supervise: Any) -> None:
        class Impatient(Watcher):
            def show(self, state: StackState) -> None:
                super().show(state)
                if state.phase in {Phase.READY, Phase.STOPPING}:
                    signal.raise_signal(signal.SIGINT)

        stubborn = fakes.part(launch=shell("trap '' TERM; while :; do sleep 60; done"), grace=timedelta(seconds=60))
        watcher = Impatient(when_ready=lambda _: None)

        supervise(stubborn, watcher=watcher)

        assert watcher.states[-1].phase is Phase.STOPPED

    def test_takes_leave_while_every_part_is_there(self, fakes: Any, supervise: Any, folder: StackFolder) -> None:
        seen: list[Any] = []

        def farewell(is_hurried: Callable[[float], bool]) -> str:
            state = folder.state()
            assert state is not None
            seen.append((state.phase, state.part("redis").status, is_hurried(0)))
            return "has ended"

        supervise(fakes.part(launch=SLEEPER), watcher=Watcher(), farewell=farewell)

        assert seen == [(Phase.STOPPING, Status.HEALTHY, False)]

    def test_lets_who_presses_ctrl_c_again_end_the_leave_taking_and_all_else(self, fakes: Any, supervise: Any) -> None:
        seen: list[bool] = []

        def farewell(is_hurried: Callable[[float], bool]) -> str:
            signal.raise_signal(signal.SIGINT)
            seen.append(is_hurried(0))
            return "was cut short"

        deaf = shell("trap '' TERM; while :; do sleep 1; done")
        supervise(fakes.part(launch=deaf), watcher=Watcher(), farewell=farewell)

        assert seen == [True]

    def test_takes_no_leave_of_what_never_came_up(self, fakes: Any, supervise: Any) -> None:
        broken = fakes.part(launch=shell("exit 1"), probe=fakes.probe("connection refused"))

        supervise(broken, watcher=Watcher(), farewell=lambda _: pytest.fail("there was nothing to take leave of"))

    def test_goes_on_when_the_state_cannot_be_written(
        self, fakes: Any, supervise: Any, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: StackState) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(folder, "save_state", full)
        watcher = Watcher()

        assert supervise(fakes.part(launch=SLEEPER), watcher=watcher) is None
        assert watcher.states[-1].phase is Phase.STOPPED

    def test_gives_the_signals_back(self, fakes: Any, supervise: Any) -> None:
        before = signal.getsignal(signal.SIGTERM)

        supervise(fakes.part(launch=SLEEPER), watcher=Watcher())

        assert signal.getsignal(signal.SIGTERM) is before


class TestStopLevels:
    def test_stops_what_nobody_needs_any_more_at_the_same_time(self, fakes: Any) -> None:
        parts = [
            fakes.part(Name.BROKER, needs=[Name.REDIS]),
            fakes.part(Name.REDIS),
            fakes.part(Name.WORKER_AI, needs=[Name.BROKER, Name.REDIS]),
            fakes.part(Name.FLOWER, needs=[Name.BROKER]),
        ]

        levels = [[str(part.name) for part in level] for level in stop_levels(parts)]

        assert levels == [["worker-ai", "flower"], ["broker"], ["redis"]]
