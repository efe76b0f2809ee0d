from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from procos.domain.errors import EngineConflictError, EngineUnreachableError
from procos.kernel.boot import farewell
from procos.kernel.boot.farewell import take_leave


@dataclass
class FakeInstance:
    has_ended: bool


@dataclass
class FakeEngine:
    """Runs the shutdown process to its end when it has been asked often enough."""

    ends_after: int = 2
    started: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    questions: int = 0
    refuses_start: Exception | None = None
    conflicts: int = 0

    def start(self, _key: str, variables: dict[str, Any]) -> str:
        if self.refuses_start:
            raise self.refuses_start
        self.started.append(variables)
        return "farewell"

    def instance(self, _instance: str) -> FakeInstance:
        self.questions += 1
        if self.questions == 1:
            raise EngineUnreachableError("http://e", "just then")
        return FakeInstance(has_ended=self.questions >= self.ends_after)

    def cancel(self, instance: str) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise EngineConflictError("was just going on")
        self.cancelled.append(instance)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()
    monkeypatch.setattr(farewell, "Processes", lambda _: engine)
    monkeypatch.setattr(farewell, "throw_signal", lambda _, name: engine.signals.append(name))
    monkeypatch.setattr(farewell, "_is_anybody_there", lambda _: True)
    return engine


def patient(_seconds: float) -> bool:
    return False


def hurried(_seconds: float) -> bool:
    return True


class TestTakeLeave:
    def test_waits_for_the_end_of_the_process_whatever_one_question_comes_to(
        self, scene: FakeEngine, settings: Any
    ) -> None:
        assert take_leave(settings(), patient) == "procos_system_shutdown has ended"
        assert (scene.started, scene.cancelled) == ([{"drain": True}], [])

    def test_drains_nothing_where_nobody_would(
        self, scene: FakeEngine, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(farewell, "_is_anybody_there", lambda _: False)

        take_leave(settings(), patient)

        assert scene.started == [{"drain": False}]

    def test_cuts_short_a_process_that_does_not_end_in_time(self, scene: FakeEngine, settings: Any) -> None:
        scene.ends_after, scene.conflicts = 1_000_000, 2

        outcome = take_leave(settings(PROCOS_KERNEL_FAREWELL_LIMIT="0.01"), patient)

        assert outcome == "procos_system_shutdown did not end within 0.01 s and was cut short"
        assert (scene.cancelled, scene.signals) == (["farewell"], ["SystemShutdown"])

    def test_cuts_it_short_for_who_does_not_want_to_wait(self, scene: FakeEngine, settings: Any) -> None:
        take_leave(settings(), hurried)

        assert (scene.questions, scene.cancelled) == (0, ["farewell"])

    def test_says_so_when_there_is_nobody_to_take_leave_of(self, scene: FakeEngine, settings: Any) -> None:
        scene.refuses_start = EngineUnreachableError("http://e", "refused")

        assert "could not be run" in take_leave(settings(), patient)
