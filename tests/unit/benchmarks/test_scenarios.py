"""What is measured, and how long it is expected to take."""

from __future__ import annotations

import io

from rich.console import Console

from tests.benchmarks.contenders.table import CONTENDERS
from tests.benchmarks.progress import Progress, estimated
from tests.benchmarks.scenarios import BY_NAME, ROUNDS, SCENARIOS, WARM_UP, Kind

LONGEST_MINUTES = 25


class TestScenarios:
    def test_name_contenders_that_are_there(self) -> None:
        assert {name for scenario in SCENARIOS for name in scenario.plans} <= CONTENDERS.keys()

    def test_have_names_of_their_own(self) -> None:
        assert len(BY_NAME) == len(SCENARIOS)

    def test_compare_every_idle_step_with_the_raw_client(self) -> None:
        without = [
            scenario.name for scenario in SCENARIOS if scenario.name.startswith("noop") and "raw" not in scenario.plans
        ]
        assert without == []

    def test_are_small_in_a_quick_run(self) -> None:
        quick = [scenario.quick() for scenario in SCENARIOS if scenario.kind is Kind.DRAIN]
        assert max(plan.tasks for scenario in quick for plan in scenario.plans.values()) <= 150

    def test_keep_the_order_for_some_contenders_alone(self) -> None:
        assert list(BY_NAME["noop-h2"].among(["js", "raw"]).plans) == ["raw", "js"]


class TestEstimate:
    def test_of_a_whole_run_is_within_the_limit(self) -> None:
        pieces = estimated(SCENARIOS, rounds=ROUNDS, warm_up=WARM_UP)
        assert sum(seconds for _, seconds in pieces) <= 60 * LONGEST_MINUTES

    def test_counts_each_engine_once(self) -> None:
        pieces = estimated(SCENARIOS, rounds=1, warm_up=1)
        names = [name for name, _ in pieces if name.startswith("start ")]
        assert len(names) == len(set(names)) == 3

    def test_warms_up_no_engine_that_is_only_restarted(self) -> None:
        pieces = estimated([BY_NAME["restart"]], rounds=1, warm_up=1)
        assert [name for name, _ in pieces] == ["start the engine on H2 in a file", "restart"]


class TestProgress:
    def progress(self) -> Progress:
        return Progress(Console(file=io.StringIO()), [("a", 10.0), ("b", 20.0), ("b", 20.0)])

    def test_takes_off_what_is_done_once(self) -> None:
        progress = self.progress()
        progress.done("b")
        assert progress.left == 30.0

    def test_corrects_the_rest_by_how_long_it_took(self) -> None:
        progress = self.progress()
        progress.done("a", 20.0)
        assert progress.left == 80.0

    def test_ignores_what_was_not_planned(self) -> None:
        progress = self.progress()
        progress.done("c", 5.0)
        assert progress.left == 50.0
