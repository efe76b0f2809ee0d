from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.registry import Registry
from procos.domain.errors import EngineUnreachableError
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
    questions: int = 0
    error: Exception | None = None

    def start(self, _key: str, variables: dict[str, Any]) -> str:
        if self.error:
            raise self.error
        self.started.append(variables)
        return "farewell"

    def instance(self, _instance: str) -> FakeInstance:
        self.questions += 1
        return FakeInstance(has_ended=self.questions >= self.ends_after)

    def cancel(self, instance: str) -> None:
        self.cancelled.append(instance)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()
    monkeypatch.setattr(farewell, "Processes", lambda _: engine)
    monkeypatch.setattr(farewell, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(Registry, "replicas", lambda _: frozenset({"bridge"}))
    return engine


class TestTakeLeave:
    def test_waits_for_the_end_of_the_process(self, scene: FakeEngine, settings: Any) -> None:
        assert take_leave(settings(), threading.Event()) == "procos_system_shutdown has ended"
        assert (scene.started, scene.cancelled) == ([{"drain": True}], [])

    def test_drains_nothing_where_nobody_would(
        self, scene: FakeEngine, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Registry, "replicas", lambda _: frozenset())

        take_leave(settings(), threading.Event())

        assert scene.started == [{"drain": False}]

    def test_deletes_a_process_that_does_not_end_in_time(self, scene: FakeEngine, settings: Any) -> None:
        scene.ends_after = 1_000_000

        outcome = take_leave(settings(PROCOS_KERNEL_FAREWELL_LIMIT="0.01"), threading.Event())

        assert outcome == "procos_system_shutdown did not end within 0.01 s and was deleted"
        assert scene.cancelled == ["farewell"]

    def test_deletes_it_for_who_does_not_want_to_wait(self, scene: FakeEngine, settings: Any) -> None:
        scene.ends_after = 1_000_000
        hurry = threading.Event()
        hurry.set()

        take_leave(settings(), hurry)

        assert scene.cancelled == ["farewell"]

    def test_says_so_when_there_is_nobody_to_take_leave_of(self, scene: FakeEngine, settings: Any) -> None:
        scene.error = EngineUnreachableError("http://e", "refused")

        assert "could not be run" in take_leave(settings(), threading.Event())
