"""Whether a task is told that an earlier run of its dispatch was cut off, and may have done its work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tasks.task
from tasks.starts import Start

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.context import TaskContext
    from tasks.runs import Run
    from tests.unit.tasks_core.one_run import Question


class TestEarlierRun:
    @pytest.fixture
    def was_told(self, run: Callable[..., Any]) -> Callable[[], bool]:
        def look() -> bool:
            told: list[bool] = []

            def work(_: Question, context: TaskContext) -> None:
                told.append(context.started_before)

            run(work, takes_context=True, text="hi")
            return told[0]

        return look

    @pytest.mark.parametrize(("starts", "expected"), [(1, False), (2, True)])
    def test_is_told_by_the_count(
        self, monkeypatch: pytest.MonkeyPatch, was_told: Callable[[], bool], starts: int, *, expected: bool
    ) -> None:
        def count(run: Run, **_: object) -> Start:
            run.starts = starts
            return Start.RUN

        monkeypatch.setattr(tasks.task, "note_start", count)
        assert was_told() is expected

    def test_counts_for_more_than_what_the_broker_says(
        self, monkeypatch: pytest.MonkeyPatch, was_told: Callable[[], bool], delivery: dict[str, object]
    ) -> None:
        def count(run: Run, **_: object) -> Start:
            run.starts = 1
            return Start.RUN

        delivery["redelivered"] = True
        monkeypatch.setattr(tasks.task, "note_start", count)
        assert not was_told()

    @pytest.mark.parametrize("redelivered", [True, False])
    def test_is_told_by_the_broker_where_nobody_counts(
        self, was_told: Callable[[], bool], delivery: dict[str, object], *, redelivered: bool
    ) -> None:
        delivery["redelivered"] = redelivered
        assert was_told() is redelivered
