"""Ending a worker that waits for its broker alone, and no other."""

from __future__ import annotations

from contextlib import suppress

import pytest

from procos.testing import dispatch_ref
from tasks.ending import LOOKS, _watch
from tasks.runs import Run

WORKS, UPLOADS, WAITS = (
    Run(ref=dispatch_ref(), queue="ai", worker="w", is_working=True),
    Run(ref=dispatch_ref(), queue="ai", worker="w"),
    Run(ref=dispatch_ref(), queue="ai", worker="w", is_publishing=True),
)


class Past(Exception):  # noqa: N818  # the end of a script, not an error
    """The script is over, and the worker still lives."""


class Worker:
    """Runs what its script says, look by look."""

    def __init__(self, *script: list[Run]) -> None:
        self.script, self.pauses, self.codes = list(script), list[float](), list[int]()

    def running(self) -> list[Run]:
        if not self.script:
            raise Past
        return self.script.pop(0)

    def watch(self) -> list[int]:
        with suppress(Past):
            _watch(self, 20.0, self.pauses.append, self.codes.append)  # type: ignore[arg-type]  # all it asks for
        return self.codes


class TestEnding:
    def test_comes_when_outcomes_alone_are_left(self) -> None:
        worker = Worker(*[[WAITS]] * LOOKS, [])
        assert worker.watch() == [1]
        assert worker.pauses == [20.0] + [1.0] * LOOKS

    @pytest.mark.parametrize(
        "script",
        [
            [[WORKS]] * 10,
            [[WORKS, WAITS]] * 10,
            [[UPLOADS]] * 10,
            [[UPLOADS, WAITS]] * 10,
            [[]] * 10,
            [[WAITS], [WAITS], [WORKS]] * 5,
            [[WAITS], []] * 5,
        ],
    )
    def test_does_not_come_while_anything_works_or_nothing_is_left(self, script: list[list[Run]]) -> None:
        assert Worker(*script).watch() == []
