"""When a target counts as met."""

from __future__ import annotations

import pytest

from tests.benchmarks.figures import Spread
from tests.benchmarks.results import Results
from tests.benchmarks.rounds import RoundResult
from tests.benchmarks.targets import TARGETS, Target


def target(*, larger_is_better: bool) -> Target:
    return Target(text="a measure", figure=lambda _: None, floor=2.0, aim=3.0, larger_is_better=larger_is_better)


def named(text: str) -> Target:
    return next(one for one in TARGETS if one.text == text)


class TestTarget:
    @pytest.mark.parametrize(
        ("median", "larger_is_better", "met"),
        [(2.0, True, True), (1.9, True, False), (2.0, False, True), (2.1, False, False)],
    )
    def test_is_reached_by_the_median(self, median: float, *, larger_is_better: bool, met: bool) -> None:
        figure = Spread(low=0.0, median=median, high=9.0)
        assert target(larger_is_better=larger_is_better).reaches(figure, 2.0) is met

    def test_is_not_reached_by_what_was_not_measured(self) -> None:
        assert target(larger_is_better=True).reaches(None, 2.0) is False

    def test_is_neither_reached_nor_missed_without_a_bound(self) -> None:
        assert target(larger_is_better=True).reaches(Spread(low=1.0, median=1.0, high=1.0), None) is None


class TestTargets:
    def test_have_no_figure_in_an_empty_run(self) -> None:
        assert [one.text for one in TARGETS if one.figure(Results()) is not None] == []

    def test_compare_the_engine_with_what_the_raw_client_makes_it_do(self) -> None:
        rounds = [
            RoundResult(contender="raw", number=0, tasks=1000, seconds=1.0, cpu={"engine": 2.0}),
            RoundResult(contender="procos", number=0, tasks=1000, seconds=2.0, cpu={"engine": 3.0}),
        ]
        found = named("the engine's CPU a task, H2, as a multiple of raw's").figure(Results(rounds={"noop-h2": rounds}))
        assert found == Spread(low=1.5, median=1.5, high=1.5)

    def test_write_latencies_in_milliseconds(self) -> None:
        found = named("idle latency, start returned to ended, median").figure(
            Results(latencies={"procos": [0.01, 0.02]})
        )
        assert found is not None
        assert found.median == pytest.approx(15.0)
