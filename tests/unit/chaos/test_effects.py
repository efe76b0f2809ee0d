"""What is counted as lost and as a duplicate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.chaos.effects import DEMANDED, Entry, count, read, told, under_way

if TYPE_CHECKING:
    from pathlib import Path


def entry(word: str, activity: str = "chaos_work", instance: str = "order.001") -> Entry:
    return Entry(
        word=word, instance=instance, activity=activity, external_task_id="task", celery_id="task.1", pid=7, at=1.0
    )


class TestCount:
    def test_finds_nothing_where_each_demanded_activity_had_its_effect_once(self) -> None:
        found = count([entry("effect", activity) for activity in DEMANDED], ["order.001"])
        assert (found.lost, found.duplicates) == ([], 0)

    def test_names_an_activity_without_effect_even_if_it_began(self) -> None:
        found = count([entry("start")], ["order.001"], demanded=["chaos_work"])
        assert found.lost == [("order.001", "chaos_work")]

    def test_names_every_activity_of_an_instance_nothing_is_known_of(self) -> None:
        assert len(count([], ["order.001"]).lost) == len(DEMANDED)

    def test_counts_effects_beyond_the_first(self) -> None:
        found = count([entry("effect")] * 3, ["order.001"], demanded=["chaos_work"])
        assert found.duplicated == {("order.001", "chaos_work"): 2}
        assert found.duplicates == 2

    def test_counts_duplicates_of_steps_that_may_end_without_effect(self) -> None:
        found = count([entry("effect", "chaos_dawdle")] * 2, [], demanded=[])
        assert found.duplicates == 1

    def test_takes_starts_and_failed_tries_for_no_effects(self) -> None:
        found = count([entry("start"), entry("failed"), entry("start"), entry("effect")], [])
        assert found.duplicates == 0
        assert found.starts == {("order.001", "chaos_work"): 2}

    def test_tells_instances_apart(self) -> None:
        found = count([entry("effect"), entry("effect", instance="order.002")], [])
        assert found.duplicates == 0


class TestRead:
    def test_leaves_a_line_that_is_being_written(self, tmp_path: Path) -> None:
        file = tmp_path / "effects.jsonl"
        line = json.dumps(
            {
                "word": "start",
                "instance": "order.001",
                "activity": "chaos_work",
                "external_task_id": "task",
                "celery_id": "task.1",
                "pid": 7,
                "at": 1.0,
            }
        )
        file.write_text(f'{line}\n{{"word": "eff', "utf-8")
        assert read(file) == [entry("start")]

    def test_finds_nothing_where_no_step_began(self, tmp_path: Path) -> None:
        assert read(tmp_path / "effects.jsonl") == []


class TestUnderWay:
    def test_counts_what_began_and_has_not_ended(self) -> None:
        assert under_way([entry("start"), entry("start"), entry("failed")]) == {7: 1}

    def test_leaves_out_processes_without_work(self) -> None:
        assert not under_way([entry("start"), entry("effect")])


class TestTold:
    def test_tells_what_happened_at_one_place(self) -> None:
        lines = told([entry("start"), entry("start", "chaos_note"), entry("effect")], ("order.001", "chaos_work"))
        assert lines == ["1.000 start pid 7 task.1", "1.000 effect pid 7 task.1"]
