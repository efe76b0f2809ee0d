"""A figure is told with what it must reach, in the direction in which more or less is better."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.scale.rows import Row, markdown, write

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = Row(name="memory", value=131.4567, unit="MB", floor=300.0)
RATIO = Row(name="two bridges", value=1.6, unit="times", floor=1.7, is_more_better=True, note="limited")
PLAIN = Row(name="at rest", value=12.0, unit="%")


class TestRow:
    @pytest.mark.parametrize(
        ("value", "is_more_better", "met"),
        [(1.0, False, True), (3.0, False, False), (3.0, True, True), (1.0, True, False)],
    )
    def test_says_whether_its_floor_is_reached(self, value: float, is_more_better: bool, met: bool) -> None:  # noqa: FBT001  # parametrised
        assert Row(name="n", value=value, unit="", floor=2.0, is_more_better=is_more_better).met is met

    def test_reaches_its_floor_by_being_just_there(self) -> None:
        assert Row(name="n", value=2.0, unit="", floor=2.0).met
        assert Row(name="n", value=2.0, unit="", floor=2.0, is_more_better=True).met

    def test_has_nothing_to_reach_without_a_floor(self) -> None:
        assert PLAIN.met is None


class TestTable:
    def test_is_written_as_a_document_reads_it(self) -> None:
        lines = markdown([MEMORY, RATIO, PLAIN]).splitlines()
        assert lines[0] == "| measure | value | unit | floor | aim | met | note |"
        assert lines[2] == "| memory | 131.5 | MB | ≤ 300 |  | yes |  |"
        assert lines[3] == "| two bridges | 1.6 | times | ≥ 1.7 |  | NO | limited |"
        assert lines[4] == "| at rest | 12 | % |  |  |  |  |"

    def test_is_written_to_json_with_what_could_not_be_measured(self, tmp_path: Path) -> None:
        file = tmp_path / "scale.json"
        write(file, [MEMORY], machine={"cores": "2 cores"}, failures=["waiting: no PostgreSQL"])
        document = json.loads(file.read_text())
        assert document["failures"] == ["waiting: no PostgreSQL"]
        assert document["rows"] == [
            {"name": "memory", "value": 131.457, "unit": "MB", "floor": "≤ 300", "aim": None, "met": True, "note": ""}
        ]
