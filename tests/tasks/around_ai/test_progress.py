"""How far a call is: what is counted, and how often it is written."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from procos.domain.external_task import ExternalTaskId
from tasks.ai import progress as progress_module
from tasks.ai.outage import Outage
from tasks.ai.progress import Progress
from tests.ai_samples import REDIS_AWAY


class Clock:
    """Stands still."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Written:
    """What would be in Redis."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.error: redis.RedisError | None = None

    def __call__(self, *, keys: list[str], args: list[Any]) -> None:  # noqa: ARG002  # a script's signature
        self.tokens.append(args[2])
        if self.error:
            raise self.error


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def progress(clock: Clock, written: Written, monkeypatch: pytest.MonkeyPatch) -> Progress:
    monkeypatch.setattr(progress_module, "_outage", Outage("progress"))
    progress = Progress(REDIS_AWAY, ExternalTaskId("task-1"), provider="ollama", model="llama3.2", clock=clock)
    monkeypatch.setattr(progress, "_show", written)
    return progress


class TestPiece:
    @pytest.mark.parametrize("piece", ["Process", ""], ids=["of text", "of thought"])
    def test_shows_that_there_is_an_answer(self, progress: Progress, piece: str) -> None:
        assert not progress.was_heard
        progress.said(piece)
        assert progress.was_heard


class TestProgress:
    def test_is_written_at_the_start(self, progress: Progress, written: Written) -> None:
        with progress:
            assert written.tokens == [0]

    def test_is_written_once_a_second_however_many_pieces_arrive(
        self, progress: Progress, written: Written, clock: Clock
    ) -> None:
        with progress:
            for _ in range(12):
                progress.said("word")
                clock.now += 0.25
        assert written.tokens == [0, 5, 9]

    @pytest.mark.parametrize(("pieces", "tokens"), [(["a"] * 5, 5), (["twelve chars"], 3), (["", ""], 0)])
    def test_counts_a_piece_as_a_token_and_a_long_one_as_several(
        self, progress: Progress, written: Written, clock: Clock, pieces: list[str], tokens: int
    ) -> None:
        for piece in pieces:
            progress.said(piece)
        clock.now += 5
        progress.said("")
        assert written.tokens[-1] == tokens

    def test_is_renewed_while_a_model_thinks(self, progress: Progress, written: Written, clock: Clock) -> None:
        with progress:
            watch = progress.watch(lambda: False)
            for _ in range(120):
                clock.now += 0.25
                assert not watch.is_cancelled()
        assert written.tokens == [0, 0]

    def test_hands_on_that_the_step_was_cancelled(self, progress: Progress) -> None:
        assert progress.watch(lambda: True).is_cancelled()

    def test_is_not_written_for_a_while_when_redis_is_away(
        self, progress: Progress, written: Written, clock: Clock
    ) -> None:
        written.error = redis.ConnectionError("away")
        with progress:
            for _ in range(14):
                clock.now += 1
                progress.said("word")
        assert written.tokens == [0]
