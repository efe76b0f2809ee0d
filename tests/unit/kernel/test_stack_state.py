from __future__ import annotations

import json
from typing import Any

import pytest

from procos.kernel.part import Name
from procos.kernel.stack import Failure, HealthReport, PartReport, PartState, Phase, StackState, Status, waiting

NOW = 5000.0


@pytest.fixture
def state(fakes: Any) -> StackState:
    parts = tuple(waiting(fakes.part(name), now=1.0) for name in (Name.BROKER, Name.REDIS))
    return StackState(pid=1, created=2.0, parts=parts)


def report(status: Status, **changes: Any) -> PartReport:
    return PartReport(name="redis", status=status, **changes)


class TestStackState:
    def test_takes_on_what_a_keeper_says_about_its_part_alone(self, state: StackState) -> None:
        after = state.with_report(report(Status.HEALTHY, pid=7, created=8.0), now=NOW)

        assert (after.part("redis").status, after.part("redis").pid, after.part("redis").since) == ("healthy", 7, NOW)
        assert after.part("broker") == state.part("broker")

    def test_counts_restarts(self, state: StackState) -> None:
        for _ in range(2):
            state = state.with_report(report(Status.RESTARTING, is_restart=True), now=NOW)

        assert state.part("redis").restarts == 2

    def test_keeps_the_moment_while_the_status_stays(self, state: StackState) -> None:
        up = state.with_report(report(Status.HEALTHY), now=NOW)

        assert up.with_report(HealthReport(name="redis", reason=None), now=NOW + 9) == up

    def test_a_health_check_makes_a_healthy_part_unhealthy_and_back(self, state: StackState) -> None:
        up = state.with_report(report(Status.HEALTHY, pid=7), now=NOW)

        ill = up.with_report(HealthReport(name="redis", reason="no answer"), now=NOW)
        well = ill.with_report(HealthReport(name="redis", reason=None), now=NOW)

        assert (ill.part("redis").status, ill.part("redis").reason, ill.part("redis").pid) == (
            Status.UNHEALTHY, "no answer", 7,
        )  # fmt: skip
        assert well.part("redis").is_healthy

    @pytest.mark.parametrize("status", [Status.STARTING, Status.RESTARTING, Status.STOPPED, Status.FAILED])
    def test_a_late_health_check_says_nothing_about_a_part_that_is_not_up(
        self, state: StackState, status: Status
    ) -> None:
        before = state.with_report(report(status), now=NOW)

        assert before.with_report(HealthReport(name="redis", reason=None), now=NOW) == before

    def test_is_up_when_every_part_has_come_up(self, state: StackState) -> None:
        half = state.with_report(report(Status.HEALTHY), now=NOW)
        whole = half.with_report(PartReport(name="broker", status=Status.UNHEALTHY), now=NOW)

        assert (half.is_up(), whole.is_up()) == (False, True)

    def test_survives_the_way_through_a_file(self, state: StackState) -> None:
        failure = Failure(part="redis", reason="ended with code 1", log_tail="a\nb", log="/x", address="test://redis")
        whole = StackState(
            pid=1, created=2.5, phase=Phase.FAILED, parts=state.parts, failure=failure, warnings=("weaker",)
        )  # fmt: skip

        assert StackState.from_json(json.loads(json.dumps(whole.to_json()))) == whole

    @pytest.mark.parametrize(
        "document",
        [{}, {"version": 1}, {"pid": 1, "created": 1, "phase": "flying", "parts": [], "failure": None, "warnings": []}],
    )
    def test_refuses_a_document_that_is_none_of_ours(self, document: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"state of a stack|not a valid Phase"):
            StackState.from_json(document)

    def test_refuses_the_document_of_another_version(self, state: StackState) -> None:
        with pytest.raises(ValueError, match="version 99"):
            StackState.from_json({**state.to_json(), "version": 99})


class TestSeenThrough:
    def test_shows_the_engine_that_a_kernel_keeps(self) -> None:
        engine = PartState(name="engine", address="a", status=Status.HEALTHY, pid=10, created=1.0, restarts=1)
        redis = PartState(name="redis", address="r", status=Status.HEALTHY, pid=11)
        kept = PartState(name="engine", address="a", status=Status.HEALTHY, pid=20, created=2.0, restarts=3)
        state = StackState(pid=1, created=0.0, parts=(engine, redis))

        seen = state.seen_through(StackState(pid=10, created=1.0, parts=(kept,)))

        assert (seen.part("engine").pid, seen.part("engine").created, seen.part("engine").restarts) == (20, 2.0, 4)
        assert seen.part("redis") == redis
        assert state.seen_through(None) == state

    def test_says_what_the_kernel_says_of_an_engine_that_is_ill(self) -> None:
        engine = PartState(name="engine", address="a", status=Status.UNHEALTHY, reason="answers 503")
        kept = PartState(name="engine", address="a", status=Status.RESTARTING, reason="was killed by SIGKILL")
        state = StackState(pid=1, created=0.0, parts=(engine,))

        seen = state.seen_through(StackState(pid=10, created=1.0, parts=(kept,)))

        assert seen.part("engine").reason == "was killed by SIGKILL"
