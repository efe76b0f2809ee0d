"""The page that is made of results: what it says of them, and which results it refuses."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos import report
from tests.chaos.case import PROMPT, Case, Part
from tests.chaos.document import must_belong_together, read
from tests.chaos.effects import Count
from tests.chaos.page import Run, page_of
from tests.chaos.run import Result
from tests.chaos.scene import nothing

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = {"engine": "Camunda 7.24.0", "RabbitMQ": "4.0.5"}


def outcome(case: str = "engine-stop", **more: Any) -> dict[str, Any]:
    return {
        "case": case,
        "part": Part.ENGINE,
        "fault": "stopped for 20 s",
        "story": "Results wait.",
        "instances": 40,
        "effects": 320,
        "lost": 0,
        "duplicates": 0,
        "duplicates_bound": 10,
        "recovery_seconds": 5.0,
        "recovery_bound_seconds": 25.0,
        "measured": {},
        "passed": True,
        "problems": [],
        **more,
    }


def run(seed: int, *outcomes: dict[str, Any], **more: Any) -> Run:
    known: dict[str, Any] = {
        "day": "2026-11-23",
        "seconds": 1320.0,
        "versions": VERSIONS,
        "settings": {"PROCOS_BRIDGE_LOCK_DURATION": "15"},
        "slots": {"ai": 8},
    }
    return Run(seed=seed, outcomes=outcomes, **{**known, **more})


class TestPage:
    def test_begins_with_the_question(self) -> None:
        page = page_of([run(1, outcome())])
        assert page.startswith("# Reliability\n\nWhat happens when a part dies while work is under way?\n")

    def test_gives_a_row_to_each_case_with_the_figures_of_every_seed(self) -> None:
        page = page_of([
            run(1, outcome(recovery_seconds=4.25, duplicates=1)),
            run(2, outcome(recovery_seconds=9.0)),
            run(3, outcome(recovery_seconds=6.0, duplicates=3)),
        ])  # fmt: skip
        row = (
            "| stopped for 20 s (`engine-stop`) | Results wait. | 0, 0, 0 | 1, 0, 3 | 10 "
            "| 4.2, 9.0, 6.0 | 6.0 | 9.0 | 25 |"
        )
        assert row in page.splitlines()

    def test_gives_a_section_to_each_part(self) -> None:
        page = page_of([run(1, outcome("a"), outcome("b", part=Part.REDIS), outcome("c"))])
        redis, engine = page.index(f"## {Part.REDIS}"), page.index(f"## {Part.ENGINE}")
        assert redis < page.index("(`b`)") < engine < page.index("(`a`)") < page.index("(`c`)")

    def test_answers_for_each_part_at_a_glance(self) -> None:
        page = page_of([
            run(1, outcome("a", duplicates=1), outcome("b", duplicates=2, recovery_seconds=7.0)),
            run(2, outcome("a"), outcome("b")),
        ])  # fmt: skip
        row = "| [The engine dies, or answers badly](#the-engine-dies-or-answers-badly) | 2 | 0 | 2 at most | 7.0 s |"
        assert row in page.splitlines()

    def test_adds_up_all_runs(self) -> None:
        runs = [run(seed, outcome("a", duplicates=2), outcome("b", lost=1)) for seed in (1, 2)]
        page = page_of(runs)
        assert "Runs: 2, each of 2 cases; 160 instances with 1,280 effects." in page
        assert "**Lost: 2. Twice: 4. Cases that broke a bound: 0.**" in page

    def test_says_what_was_broken(self) -> None:
        page = page_of([run(7, outcome(passed=False, problems=["recovered after 31.0 s,\nbound 25 s"]))])
        assert "Cases that broke a bound: 1.**" in page
        assert "- `engine-stop`, seed 7: recovered after 31.0 s, bound 25 s\n" in page

    def test_says_never_where_a_run_did_not_recover(self) -> None:
        page = page_of([run(1, outcome()), run(2, outcome(recovery_seconds=None))])
        assert "| 5.0, never | never | never | 25 |" in page

    def test_tells_what_else_was_measured(self) -> None:
        limits = {"taken over": {"seconds": 12.34, "bound_seconds": 15.0}}
        assert "`engine-stop`: taken over after 12.3 s, at most 15." in page_of([run(1, outcome(measured=limits))])

    def test_names_versions_date_and_seeds(self) -> None:
        page = page_of([run(4, outcome()), run(5, outcome())])
        for words in (
            "| RabbitMQ | 4.0.5 |",
            "| date | 2026-11-23 |",
            "| seeds | 4, 5 |",
            "| a run takes | 22 minutes |",
        ):
            assert words in page

    def test_says_how_to_repeat_it_and_what_it_leaves_out(self) -> None:
        page = page_of([run(4, outcome()), run(5, outcome())])
        assert 'make reliability SEEDS="4 5"' in page
        assert "## What is not covered" in page

    def test_keeps_a_text_in_its_cell(self) -> None:
        assert "a \\| b" in page_of([run(1, outcome(story="a | b"))])


class TestRead:
    def test_understands_what_a_run_writes(self, tmp_path: Path) -> None:
        case = Case(
            name="a", title="A", part=Part.REDIS, story="Ends.", fault=nothing, duplicates=1, recovery=PROMPT,
            limits={"taken over": 15.0},
        )  # fmt: skip
        result = Result(
            case=case, instances=2, ended=2, count=Count(effects=16, lost=[], duplicated={}, starts={}),
            recovery=3.21, seconds=9.0, problems=[], measured={"taken over": 12.0},
        )  # fmt: skip
        file = tmp_path / "1.json"
        report.write(
            file,
            report.Run(
                seed=1, lane="full", seconds=60.0, day=date(2026, 11, 23), versions=VERSIONS, results=[result]
            ),
        )  # fmt: skip
        page = page_of([read(file)])
        assert "| A (`a`) | Ends. | 0 | 0 | 1 | 3.2 | 3.2 | 3.2 | 15 |" in page
        assert "taken over after 12.0 s" in page

    def test_refuses_another_document(self, tmp_path: Path) -> None:
        file = tmp_path / "other.json"
        file.write_text(json.dumps({"seed": 1}), "utf-8")
        with pytest.raises(ValueError, match=r"other\.json is not what .* 'date' is missing"):
            read(file)


class TestMustBelongTogether:
    def test_accepts_runs_of_the_same(self) -> None:
        must_belong_together([run(1, outcome()), run(2, outcome())])

    def test_refuses_a_seed_that_is_there_twice(self) -> None:
        with pytest.raises(ValueError, match="a seed is there twice"):
            must_belong_together([run(1, outcome()), run(1, outcome())])

    def test_refuses_other_cases(self) -> None:
        with pytest.raises(ValueError, match="seeds 1 and 2 differ in their cases"):
            must_belong_together([run(1, outcome("a")), run(2, outcome("b"))])

    def test_refuses_other_versions(self) -> None:
        with pytest.raises(ValueError, match="differ in their versions"):
            must_belong_together([run(1, outcome()), run(2, outcome(), versions={"engine": "7.23"})])
