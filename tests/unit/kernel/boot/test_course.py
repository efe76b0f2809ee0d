from __future__ import annotations

import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import EngineConflictError, EngineUnreachableError, SettingsError
from procos.kernel.boot import course as course_module
from procos.kernel.boot.course import BootStopped
from procos.kernel.boot.phases import BootPhase

if TYPE_CHECKING:
    from procos.kernel.boot.course import Course
    from procos.kernel.boot.metrics import KernelMetrics

NOW, PATIENT = timedelta(), timedelta(seconds=30)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course_module, "PAUSE_SECONDS", 0)


class TestPhases:
    def test_are_six_in_the_order_of_the_boot(self) -> None:
        assert [(phase.number, phase.purpose) for phase in BootPhase] == [
            (1, "validate the environment"),
            (2, "start the engine"),
            (3, "wait until it is ready"),
            (4, "deploy the root models"),
            (5, "start procos_system_orchestrator"),
            (6, "monitor"),
        ]


class TestCourse:
    def test_tells_what_came_of_a_phase_and_how_long_it_took(
        self, course: Course, ears: Any, metrics: KernelMetrics, clock: Any
    ) -> None:
        def deploy() -> str:
            clock.now += 2.5
            return "3 models"

        course.go_through(BootPhase.MODELS, deploy)

        (done,) = ears.done
        assert (done.phase, done.outcome, done.has_failed) == (BootPhase.MODELS, "3 models", False)
        assert done.seconds == 2.5
        assert b'procos_kernel_phase_seconds{phase="models"}' in metrics.exposition()

    def test_tells_the_first_line_of_why_a_phase_failed(self, course: Course, ears: Any) -> None:
        def fail() -> str:
            raise SettingsError(["Java is missing", "the disk is full"])

        with pytest.raises(SettingsError):
            course.go_through(BootPhase.ENVIRONMENT, fail)

        assert (ears.done[0].outcome, ears.done[0].has_failed) == ("Java is missing", True)

    def test_begins_no_phase_once_somebody_wants_to_stop(self, course: Course, ears: Any) -> None:
        course.ask_to_stop(signal.SIGTERM)

        with pytest.raises(BootStopped):
            course.go_through(BootPhase.ENGINE, lambda: "started")

        assert ears.done == []


class TestAwaitAnswer:
    def test_asks_until_there_is_no_trouble(self, course: Course, ears: Any) -> None:
        answers = iter(["refused", "loading", None])

        assert course.await_answer(lambda: next(answers), limit=PATIENT, what="Redis") is None
        assert ears.waited_for == ["Redis: refused", "Redis: loading"]

    def test_returns_the_trouble_that_is_left_at_the_limit(self, course: Course) -> None:
        assert course.await_answer(lambda: "refused", limit=NOW, what="broker") == "refused"

    def test_asks_as_long_as_it_has_patience_and_no_longer(self, course: Course, ears: Any, clock: Any) -> None:
        def question() -> str:
            clock.now += 9.0
            return f"refused at {clock.now:g}"

        assert course.await_answer(question, limit=PATIENT, what="broker") == "refused at 1036"
        assert len(ears.waited_for) == 3

    def test_stops_waiting_for_who_wants_to_stop(self, course: Course) -> None:
        course.ask_to_stop(signal.SIGTERM)

        with pytest.raises(BootStopped):
            course.await_answer(lambda: "refused", limit=PATIENT, what="broker")


class TestPatiently:
    def test_does_it_again_while_the_engine_is_away_or_busy(self, course: Course, ears: Any) -> None:
        troubles = [EngineUnreachableError("http://e", "refused"), EngineConflictError("collided")]

        def deploy() -> str:
            if troubles:
                raise troubles.pop(0)
            return "deployed"

        assert course.patiently(deploy, meanwhile=ears.listens) == "deployed"
        assert ears.waited_for[1] == "collided"
        assert ears.listened == 2

    def test_gives_up_when_a_minute_is_over(self, course: Course, ears: Any, clock: Any) -> None:
        def deploy() -> str:
            clock.now += 25.0
            raise EngineConflictError("collided")

        with pytest.raises(EngineConflictError):
            course.patiently(deploy, meanwhile=lambda: None)
        assert len(ears.waited_for) == 2


class TestHurry:
    def test_is_who_presses_ctrl_c_again(self, course: Course) -> None:
        course.ask_to_stop(signal.SIGINT)

        assert course.is_hurried(30)

    def test_is_nobody_who_sends_the_same_signal_twice(self, course: Course) -> None:
        course.ask_to_stop(signal.SIGTERM)

        assert not course.is_hurried(0.01)
