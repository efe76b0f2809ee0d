from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import PartFailedError
from procos.kernel import keeper as keeper_module
from procos.kernel.keeper import FIRST_DELAY, LONGEST_DELAY, STEADY_AFTER, Keeper, exit_text, next_delay
from procos.kernel.stack import PartReport, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from procos.kernel.part import Part


@dataclass
class Scene:
    """A keeper, and what it said."""

    keeper: Keeper
    inbox: SimpleQueue[Any]

    def reports(self) -> list[PartReport]:
        found = []
        while True:
            try:
                found.append(self.inbox.get_nowait())
            except Empty:
                return found

    def statuses(self) -> list[Status]:
        return [report.status for report in self.reports()]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    monkeypatch.setattr(keeper_module, "FIRST_DELAY", timedelta())
    monkeypatch.setattr(keeper_module, "PAUSE", timedelta())

    def build(part: Part, spawner: Any, *, limit: float = 2.0) -> Scene:
        inbox: SimpleQueue[Any] = SimpleQueue()
        keeper = Keeper(
            part, spawner=spawner, inbox=inbox, log=tmp_path / "part.log", startup_limit=timedelta(seconds=limit)
        )
        return Scene(keeper=keeper, inbox=inbox)

    return build


class TestKeeper:
    def test_says_that_a_part_is_up_with_the_process_it_runs_in(self, fakes: Any, scene: Any) -> None:
        process = fakes.Process()
        stage = scene(fakes.part(probe=fakes.probe("not yet", None)), fakes.spawner(process))
        process.on_wait = stage.keeper.ask_to_stop

        stage.keeper.keep()

        starting, healthy = stage.reports()
        assert (starting.status, healthy.status) == (Status.STARTING, Status.HEALTHY)
        assert (healthy.pid, healthy.created) == (4711, 1000.0)

    def test_starts_a_part_again_that_dies_and_counts_it(self, fakes: Any, scene: Any) -> None:
        first, second = fakes.Process(), fakes.Process()
        stage = scene(fakes.part(), fakes.spawner(first, second))
        first.on_wait = lambda: first.end(-9)
        second.on_wait = stage.keeper.ask_to_stop

        stage.keeper.keep()

        reports = stage.reports()
        assert [report.status for report in reports] == [
            Status.STARTING, Status.HEALTHY, Status.RESTARTING, Status.STARTING, Status.HEALTHY,
        ]  # fmt: skip
        assert [report.is_restart for report in reports] == [False, False, True, False, False]
        assert "was killed by SIGKILL" in reports[2].reason

    def test_gives_up_on_a_part_that_dies_before_it_was_ever_up(self, fakes: Any, scene: Any) -> None:
        stage = scene(fakes.part(probe=fakes.probe("connection refused")), fakes.spawner(fakes.Process(code=3)))

        stage.keeper.keep()

        failure = stage.reports()[-1].failure
        assert failure.reason == "ended with code 3"
        assert failure.exit_code == 1, "what another's code means is not known"
        assert failure.log_tail == "words of the part"

    def test_gives_up_on_a_part_that_is_not_healthy_in_time_and_ends_it(self, fakes: Any, scene: Any) -> None:
        process = fakes.Process()
        stage = scene(fakes.part(probe=fakes.probe("connection refused")), fakes.spawner(process), limit=0.01)

        stage.keeper.keep()

        assert stage.reports()[-1].failure.reason == "is not healthy after 0.01 s: connection refused"
        assert process.signals == ["TERM"]

    def test_goes_on_trying_when_a_part_that_was_up_does_not_come_up_again(self, fakes: Any, scene: Any) -> None:
        up, stillborn, last = fakes.Process(), fakes.Process(code=1), fakes.Process()
        stage = scene(fakes.part(), fakes.spawner(up, stillborn, last))
        up.on_wait = lambda: up.end(0)
        last.on_wait = stage.keeper.ask_to_stop

        stage.keeper.keep()

        assert stage.statuses().count(Status.RESTARTING) == 2

    def test_hands_what_the_build_printed_last_to_the_start(self, fakes: Any, scene: Any) -> None:
        process = fakes.Process()
        spawner = fakes.spawner(fakes.Process(code=0), process, printed=b"building\n/jars/engine.jar\n")
        stage = scene(fakes.part(build=fakes.command("build")), spawner)
        process.on_wait = stage.keeper.ask_to_stop

        stage.keeper.keep()

        assert [command.arguments[-1] for command in spawner.commands] == ["build", "/jars/engine.jar"]

    @pytest.mark.parametrize(("code", "told"), [(2, 2), (3, 3), (1, 1), (139, 1)])
    def test_hands_on_what_a_program_of_ours_ended_with(self, fakes: Any, scene: Any, code: int, told: int) -> None:
        part = fakes.part(is_ours=True, probe=fakes.probe("connection refused"))
        stage = scene(part, fakes.spawner(fakes.Process(code=code)))

        stage.keeper.keep()

        assert stage.reports()[-1].failure.exit_code == told

    def test_fails_a_part_whose_build_fails(self, fakes: Any, scene: Any) -> None:
        stage = scene(fakes.part(build=fakes.command("build")), fakes.spawner(fakes.Process(code=2)))

        stage.keeper.keep()

        assert stage.reports()[-1].failure.reason == "its build ended with code 2"

    def test_fails_a_part_whose_command_cannot_be_made(self, fakes: Any, scene: Any) -> None:
        def launch(_built: str) -> Any:
            raise PartFailedError("redis", "no room for its data")

        stage = scene(fakes.part(launch=launch), fakes.spawner())

        stage.keeper.keep()

        assert stage.reports()[-1].failure.reason == "no room for its data"

    def test_starts_nothing_once_it_was_asked_to_stop(self, fakes: Any, scene: Any) -> None:
        spawner = fakes.spawner(fakes.Process())
        stage = scene(fakes.part(), spawner)
        stage.keeper.ask_to_stop()

        stage.keeper.keep()

        assert spawner.commands == []
        assert stage.reports() == []

    def test_kills_a_part_that_does_not_end_within_its_grace(self, fakes: Any, scene: Any) -> None:
        process = fakes.Process(obeys=False)
        stage = scene(fakes.part(), fakes.spawner(process))
        stage.keeper.start()
        while stage.inbox.get(timeout=2).status is not Status.HEALTHY:
            pass

        stage.keeper.ask_to_stop()
        stage.keeper.await_stop(asked=time.monotonic() - 60)

        assert process.signals == ["TERM", "KILL"]

    def test_has_little_patience_with_a_part_that_is_not_up_yet(self, fakes: Any, scene: Any) -> None:
        deaf = fakes.Process(obeys=False)
        long, none = timedelta(hours=1), timedelta()
        part = fakes.part(probe=fakes.probe("connection refused"), grace=long, starting_grace=none)
        stage = scene(part, fakes.spawner(deaf), limit=0.01)

        stage.keeper.keep()

        assert deaf.signals == ["TERM", "KILL"]

    def test_is_not_deceived_by_another_program_that_answers_on_the_port(self, fakes: Any, scene: Any) -> None:
        stage = scene(fakes.part(port=5672), fakes.spawner(fakes.Process()), limit=0.01)

        stage.keeper.keep()

        assert stage.reports()[-1].failure.reason.endswith("another program answers on port 5672")

    def test_is_content_when_it_is_the_part_itself_that_answers(self, fakes: Any, scene: Any) -> None:
        process = fakes.Process(port=5672)
        stage = scene(fakes.part(port=5672), fakes.spawner(process))
        process.on_wait = stage.keeper.ask_to_stop

        stage.keeper.keep()

        assert stage.statuses() == [Status.STARTING, Status.HEALTHY]

    def test_waits_until_a_part_without_a_telling_probe_has_lived_long_enough(self, fakes: Any, scene: Any) -> None:
        stage = scene(
            fakes.part(settle=timedelta(seconds=60)), fakes.spawner(fakes.Process()), limit=0.01
        )  # fmt: skip

        stage.keeper.keep()

        assert stage.reports()[-1].failure.reason == "is not healthy after 0.01 s: not steady yet"


class TestKeeperOfAPartElsewhere:
    def test_only_asks_it(self, fakes: Any, scene: Any) -> None:
        spawner = fakes.spawner()
        stage = scene(fakes.part(launch=None, is_external=True), spawner)

        stage.keeper.keep()

        assert stage.statuses() == [Status.HEALTHY]
        assert spawner.commands == []

    def test_fails_when_it_does_not_answer_and_names_the_setting(self, fakes: Any, scene: Any) -> None:
        part = fakes.part(
            launch=None, is_external=True, set_by="PROCOS_REDIS_URL", probe=fakes.probe("connection refused")
        )
        stage = scene(part, fakes.spawner(), limit=0.01)

        stage.keeper.keep()

        failure = stage.reports()[-1].failure
        assert failure.is_unreachable
        assert "connection refused (PROCOS_REDIS_URL names it" in failure.reason

    def test_lets_the_stack_come_up_without_one_it_can_do_without(self, fakes: Any, scene: Any) -> None:
        part = fakes.part(launch=None, is_external=True, is_vital=False, probe=fakes.probe("no route to host"))
        stage = scene(part, fakes.spawner(), limit=0.01)

        stage.keeper.keep()

        report = stage.reports()[-1]
        assert (report.status, report.failure) == (Status.UNHEALTHY, None)


class TestNextDelay:
    def test_doubles_up_to_half_a_minute(self) -> None:
        delays, delay = [], timedelta()
        for _ in range(9):
            delay = next_delay(delay, lasted=timedelta(seconds=1))
            delays.append(delay.total_seconds())

        assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]

    def test_begins_again_when_the_part_had_been_steady(self) -> None:
        assert next_delay(LONGEST_DELAY, lasted=STEADY_AFTER) == FIRST_DELAY

    def test_goes_on_growing_when_the_part_did_not_come_up_at_all(self) -> None:
        assert next_delay(timedelta(seconds=4), lasted=None) == timedelta(seconds=8)


class TestExitText:
    @pytest.mark.parametrize(
        ("code", "text"),
        [(0, "ended with code 0"), (-11, "was killed by SIGSEGV"), (None, "did not end in time")],
    )
    def test_says_how_a_process_ended(self, code: int | None, text: str) -> None:
        assert exit_text(code) == text
