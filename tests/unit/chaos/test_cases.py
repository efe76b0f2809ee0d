"""The table of cases, and the load that is drawn for one."""

from __future__ import annotations

import random

import pytest

from tests.chaos.case import ALONE, PROMPT, Case, Lane, Part, Verdicts, both_ways
from tests.chaos.cases import CASES, chosen
from tests.chaos.load import ORDER, drawn
from tests.chaos.scene import nothing

UNDISTURBED = {"control", "engine-stop", "engine-kill-h2", "engine-kill-postgres", "bridge-kill-result"}


def rng(seed: str = "1") -> random.Random:
    return random.Random(seed)  # noqa: S311  # to be the same each time


class TestCases:
    def test_have_names_of_their_own(self) -> None:
        assert len({case.name for case in CASES}) == len(CASES)

    @pytest.mark.parametrize("name", sorted(UNDISTURBED | {"rolling-restart"}))
    def test_that_end_no_running_task_allow_no_duplicate(self, name: str) -> None:
        (case,) = chosen(Lane.FULL, [name])
        assert case.duplicates == 0

    def test_of_one_part_stand_beside_each_other_in_the_document(self) -> None:
        assert {case.part for case in CASES} == set(Part)

    def test_of_the_short_lane_report_in_both_ways_about_equally_often(self) -> None:
        ways = [case.verdicts for case in chosen(Lane.SHORT, []) if case.counts_verdicts]
        assert abs(ways.count(Verdicts.LISTED) - ways.count(Verdicts.ALONE)) <= 1

    @pytest.mark.parametrize("name", ["engine-stop", "answers-lost"])
    def test_that_matter_most_report_in_both_ways_in_the_short_lane(self, name: str) -> None:
        assert {name, name + ALONE} <= {case.name for case in chosen(Lane.SHORT, [])}


class TestBothWays:
    CASE = Case(name="a", title="A", part=Part.ENGINE, story="Ends.", fault=nothing, duplicates=1, recovery=PROMPT)

    def test_make_two_cases_that_differ_in_how_verdicts_are_sent(self) -> None:
        listed, alone = both_ways(self.CASE)
        assert (listed.name, listed.verdicts) == ("a", Verdicts.LISTED)
        assert (alone.name, alone.verdicts) == ("a-alone", Verdicts.ALONE)
        assert (listed.fault, listed.duplicates) == (alone.fault, alone.duplicates)
        assert listed.counts_verdicts
        assert alone.counts_verdicts

    def test_belong_to_the_full_lane_unless_told_otherwise(self) -> None:
        assert [case.lane for case in both_ways(self.CASE)] == [Lane.FULL, Lane.FULL]
        assert [case.lane for case in both_ways(self.CASE, short=[Verdicts.ALONE])] == [Lane.FULL, Lane.SHORT]


class TestChosen:
    def test_leaves_out_of_the_short_lane_what_takes_long(self) -> None:
        short = {case.name for case in chosen(Lane.SHORT, [])}
        assert short < {case.name for case in chosen(Lane.FULL, [])}
        assert "link-frozen" not in short

    def test_takes_a_named_case_from_any_lane(self) -> None:
        assert [case.name for case in chosen(Lane.SHORT, ["link-frozen"])] == ["link-frozen"]

    def test_names_the_cases_there_are_when_one_is_unknown(self) -> None:
        with pytest.raises(ValueError, match="no case is called nonesuch; there are control, "):
            chosen(Lane.SHORT, ["nonesuch"])


class TestDrawn:
    def test_is_the_same_for_the_same_seed(self) -> None:
        first, second = (drawn("control", ORDER, 20, 10.0, rng("7/control")) for _ in range(2))
        assert first == second

    def test_differs_between_seeds(self) -> None:
        first, second = (drawn("control", ORDER, 20, 10.0, rng(seed)) for seed in ("1", "2"))
        assert first != second

    def test_spreads_the_starts_in_order(self) -> None:
        moments = [order.after for order in drawn("control", ORDER, 20, 10.0, rng())]
        assert moments == sorted(moments)
        assert moments[-1] <= 10.0

    def test_gives_each_instance_a_business_key_of_its_own(self) -> None:
        assert len({order.business_key for order in drawn("control", ORDER, 20, 10.0, rng())}) == 20
