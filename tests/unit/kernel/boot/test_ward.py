from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import EngineDeniedError, EngineUnreachableError, PartFailedError
from procos.kernel import keeper, logs
from procos.kernel.boot import ward as ward_module
from procos.kernel.boot.course import BootStopped
from procos.kernel.boot.ward import Ward
from procos.kernel.part import Name
from procos.kernel.stack import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.kernel.boot.course import Course
    from procos.kernel.part import Part
    from procos.kernel.state import StackFolder


@dataclass
class FakeNursery:
    """Starts the processes it was given."""

    spawner: Any
    renewed: int = 0

    def spawn(self, *arguments: Any, **options: Any) -> Any:
        return self.spawner.spawn(*arguments, **options)

    def renew_guard(self) -> None:
        self.renewed += 1


@pytest.fixture
def ward_of(
    course: Course, folder: StackFolder, settings: Any, fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Ward]]:
    monkeypatch.setattr(keeper, "PAUSE", timedelta(milliseconds=5))
    monkeypatch.setattr(keeper, "FIRST_DELAY", timedelta())
    monkeypatch.setattr(ward_module, "PAUSE_SECONDS", 0.01)
    made: list[Ward] = []

    def build(*processes: Any, greet: Callable[[], object] = lambda: "7.24.0", **changes: Any) -> Ward:
        part: Part = fakes.part(Name.ENGINE, **changes)
        nursery: Any = FakeNursery(fakes.spawner(*processes))
        limits = settings(PROCOS_STARTUP_TIMEOUT="3")
        made.append(Ward(part, limits, course, folder=folder, nursery=nursery, greet=greet))
        return made[-1]

    yield build
    for each in made:
        each.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


class TestStart:
    def test_brings_the_engine_up_and_writes_down_what_runs(
        self, ward_of: Any, fakes: Any, folder: StackFolder
    ) -> None:
        ward = ward_of(fakes.Process(), probe=fakes.probe("refused", None))

        assert ward.start() == "pid 4711, test://engine"
        ward.await_ready()

        state = folder.state()
        assert state is not None
        assert (state.parts[0].status, state.parts[0].pid) == (Status.HEALTHY, 4711)

    def test_fails_with_the_end_of_the_log_of_an_engine_that_ends(self, ward_of: Any, fakes: Any) -> None:
        ward = ward_of(fakes.Process(code=1), probe=fakes.probe("refused"))

        ward.start()

        with pytest.raises(PartFailedError, match="engine: ended with code 1") as failure:
            ward.await_ready()

        assert failure.value.log_tail == "words of the part"

    def test_starts_nothing_where_it_attaches(self, ward_of: Any) -> None:
        ward = ward_of(launch=None)

        assert ward.start() == "attached to test://engine"
        ward.await_ready()
        ward.turn()

        assert ward.engine.status is Status.HEALTHY

    def test_says_which_setting_names_an_engine_that_does_not_answer(
        self, ward_of: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def greet() -> None:
            raise EngineUnreachableError("http://e", "refused")

        ward = ward_of(launch=None, greet=greet)
        monkeypatch.setattr(ward, "_startup_limit", timedelta())
        ward.start()

        with pytest.raises(EngineUnreachableError, match=r"refused.*PROCOS_ENGINE_URL names it"):
            ward.await_ready()

    def test_does_not_wait_for_an_engine_that_will_not_let_it_in(self, ward_of: Any) -> None:
        def greet() -> None:
            raise EngineDeniedError("the credentials are refused")

        ward = ward_of(launch=None, greet=greet)
        ward.start()

        with pytest.raises(EngineDeniedError):
            ward.await_ready()

    def test_stops_waiting_for_who_wants_to_stop(self, ward_of: Any, fakes: Any, course: Course) -> None:
        ward = ward_of(fakes.Process(), probe=fakes.probe("refused"))
        course.ask_to_stop(signal.SIGTERM)

        with pytest.raises(BootStopped):
            ward.start()


class TestTurn:
    def test_tells_of_an_engine_that_died_and_is_back(self, ward_of: Any, fakes: Any, ears: Any) -> None:
        first = fakes.Process()
        ward = ward_of(first, fakes.Process(pid=4712))
        ward.start()
        ward.await_ready()

        first.end(-9)
        until(lambda: ward.turn() or (ward.engine.pid == 4712 and ward.engine.is_healthy))

        assert "was killed by SIGKILL" in ears.events[0]
        assert "words of the part" in ears.events[0]
        assert ears.events[1] == "the engine is back (pid 4712)"
        assert ward.engine.restarts == 1

    def test_ends_an_engine_that_has_been_silent_for_too_long(
        self, ward_of: Any, fakes: Any, ears: Any, clock: Any
    ) -> None:
        silent, probe = fakes.Process(obeys=False), fakes.probe(None)
        ward = ward_of(silent, fakes.Process(pid=4712), probe=probe)
        ward.start()
        ward.await_ready()
        probe.answers.extend(["no answer within 2 s"])
        probe.answers.popleft()

        for _ in range(2):
            ward.turn()
            clock.now += 30.0
        assert silent.signals == []  # three intervals of 10 s are not over yet

        clock.now += 0.5
        ward.turn()
        probe.answers[0] = None
        until(lambda: ward.turn() or (ward.engine.pid == 4712 and ward.engine.is_healthy))

        assert silent.signals == ["TERM", "KILL"]
        assert "did not answer for 60 s (no answer within 2 s)" in ears.events[0]

    def test_gives_up_on_an_engine_that_does_not_stay_up(
        self, ward_of: Any, fakes: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ward_module, "MOST_RESTARTS", 0)
        first = fakes.Process()
        ward = ward_of(first, fakes.Process())
        ward.start()
        ward.await_ready()
        first.end(1)

        with pytest.raises(PartFailedError, match="was started 0 times within 10 minutes; the last time it ended with"):
            until(lambda: ward.turn() or False)

    def test_forgets_restarts_of_long_ago(self, ward_of: Any, fakes: Any, clock: Any) -> None:
        ward = ward_of(fakes.Process())
        for _ in range(ward_module.MOST_RESTARTS + 5):
            ward._note_restart("ended with code 1")
            ward._in_vain = 0
            clock.now += 61.0
        ward._note_restart("ended with code 1")
        assert ward.engine.restarts == 0, "none was told, and none was one too many"

    def test_gives_up_on_an_engine_that_never_answers_again(
        self, ward_of: Any, fakes: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ward_module, "MOST_IN_VAIN", 1)
        first, probe = fakes.Process(), fakes.probe(None)
        ward = ward_of(first, fakes.Process(code=1), fakes.Process(code=1), probe=probe)
        ward.start()
        ward.await_ready()
        probe.answers[0] = "refused"
        first.end(1)

        with pytest.raises(PartFailedError, match="was started 1 times and never answered; the last time it ended"):
            until(lambda: ward.turn() or False)

    def test_goes_on_with_a_disk_that_is_full(
        self, ward_of: Any, fakes: Any, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        probe = fakes.probe(None)
        ward = ward_of(fakes.Process(), probe=probe)
        ward.start()
        ward.await_ready()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(folder, "save_state", full)
        monkeypatch.setattr(logs, "bound", full)
        probe.answers[0] = "no answer"
        ward.turn()

        assert ward.engine.status is Status.UNHEALTHY

    def test_keeps_the_guard(self, ward_of: Any, fakes: Any) -> None:
        ward = ward_of(fakes.Process())
        ward.start()
        ward.await_ready()

        ward.turn()

        assert ward._nursery.renewed == 1
