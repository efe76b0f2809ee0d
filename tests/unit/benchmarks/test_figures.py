"""The arithmetic of the benchmark."""

from __future__ import annotations

import pytest

from tests.benchmarks.figures import Spread, in_turn, milliseconds_a_task, ours_a_task, p95, rates_beside, ratios
from tests.benchmarks.rounds import RoundResult


def result(contender: str, number: int, seconds: float, **cpu: float) -> RoundResult:
    return RoundResult(contender=contender, number=number, tasks=1000, seconds=seconds, steady=1000 / seconds, cpu=cpu)


class TestSpread:
    def test_is_the_middle_and_the_ends(self) -> None:
        assert Spread.of([3.0, 1.0, 2.0]) == Spread(low=1.0, median=2.0, high=3.0)

    def test_takes_the_mean_of_the_two_in_the_middle(self) -> None:
        assert Spread.of([1.0, 2.0, 4.0, 9.0]) == Spread(low=1.0, median=3.0, high=9.0)

    def test_of_nothing_is_none(self) -> None:
        assert Spread.of([]) is None


class TestP95:
    def test_is_exceeded_by_one_in_twenty(self) -> None:
        assert p95([float(figure) for figure in range(101)]) == 95.0

    def test_of_one_figure_is_that_figure(self) -> None:
        assert p95([7.0]) == 7.0


class TestRatios:
    def test_compare_within_the_same_round(self) -> None:
        rounds = [result("raw", 0, 1.0), result("procos", 0, 2.0), result("procos", 1, 4.0), result("raw", 1, 1.0)]
        assert ratios(rounds, "procos", "raw") == [0.5, 0.25]

    def test_leave_out_a_round_the_other_did_not_finish(self) -> None:
        rounds = [result("procos", 0, 2.0), result("raw", 1, 1.0), result("procos", 1, 2.0)]
        assert ratios(rounds, "procos", "raw") == [0.5]


class TestRatesBeside:
    def test_compare_with_the_median_of_the_others(self) -> None:
        found = rates_beside([result("procos", 0, 1.0), result("procos", 1, 2.0)], [result("js", 0, 2.0)])
        assert found == Spread(low=1.0, median=1.5, high=2.0)

    def test_are_unknown_without_the_others(self) -> None:
        assert rates_beside([result("procos", 0, 1.0)], []) is None


class TestMillisecondsATask:
    def test_divide_what_a_part_used_by_the_tasks(self) -> None:
        assert milliseconds_a_task(result("procos", 0, 1.0, engine=2.5)) == {"engine": 2.5}

    def test_of_ours_leave_out_engine_database_and_foreign_clients(self) -> None:
        costs = result(
            "procos", 0, 1.0, engine=9.0, database=9.0, client=9.0, bridge=1.5, worker=1.0, broker=0.5, redis=0.25
        )
        assert ours_a_task(costs) == pytest.approx(3.25)


class TestInTurn:
    def test_begins_with_another_one_in_each_round(self) -> None:
        orders = [in_turn(["a", "b", "c"], number) for number in range(4)]
        assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]

    def test_of_nobody_is_nobody(self) -> None:
        assert in_turn([], 2) == []
