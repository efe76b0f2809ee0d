"""Noting a start: what the ledger's answer means, what its silence means, and how long a copy waits for another run."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import redis

import tasks.starts
from procos.settings import RedisSettings
from procos.testing import dispatch_ref
from tasks.runs import Run
from tasks.starts import LOOK_SECONDS, LOOKS, Start, note_start

if TYPE_CHECKING:
    from collections.abc import Sequence


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@dataclass
class Ledger:
    """Answers starts in turn, the last answer for ever."""

    answers: list[Sequence[int]]
    asked: list[Sequence[object]] = field(default_factory=list)

    def __call__(self, *, keys: Sequence[object], args: Sequence[object]) -> Sequence[int]:  # noqa: ARG002  # a script's signature
        self.asked.append(args)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def dead_since(self) -> list[object]:
        return [args[-1] for args in self.asked]


def start(
    monkeypatch: pytest.MonkeyPatch, *answers: Sequence[int], pauses: list[float] | None = None
) -> tuple[Start, Ledger]:
    ledger = Ledger(list(answers))
    monkeypatch.setattr(tasks.starts, "_script", lambda _: ledger)
    pause = (pauses if pauses is not None else []).append
    return note_start(run(), max_starts=3, settings=RedisSettings(), pause=pause), ledger


def run() -> Run:
    return Run(ref=dispatch_ref(), queue="ai", worker="worker")


class TestNoteStart:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [(0, Start.RUN), (1, Start.RUN), (3, Start.RUN), (4, Start.TOO_OFTEN), (-1, Start.NOT_WANTED)],
    )
    def test_follows_the_ledger(self, monkeypatch: pytest.MonkeyPatch, answer: int, expected: Start) -> None:
        assert start(monkeypatch, [answer])[0] is expected

    @pytest.mark.parametrize(("answer", "starts"), [(0, None), (1, 1), (3, 3), (-1, None)])
    def test_tells_the_run_how_often_it_was_started(
        self, monkeypatch: pytest.MonkeyPatch, answer: int, starts: int | None
    ) -> None:
        monkeypatch.setattr(tasks.starts, "_script", lambda _: Ledger([[answer]]))
        started = run()
        note_start(started, max_starts=3, settings=RedisSettings())
        assert started.starts == starts

    def test_names_itself_by_an_id_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = [start(monkeypatch, [1])[1].asked[0][3] for _ in range(2)]
        assert len(set(ids)) == 2

    def test_runs_uncounted_without_redis(self) -> None:
        settings = RedisSettings(url=f"redis://127.0.0.1:{closed_port()}/0")
        assert note_start(run(), max_starts=3, settings=settings) is Start.RUN

    def test_runs_uncounted_when_redis_is_frozen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def frozen(**_: object) -> int:
            raise redis.TimeoutError("Timeout reading from socket")

        monkeypatch.setattr(tasks.starts, "_script", lambda _: frozen)
        assert note_start(run(), max_starts=3, settings=RedisSettings()) is Start.RUN


class TestCopyOfAnotherRun:
    def test_leaves_it_to_one_that_shows_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        said, ledger = start(monkeypatch, [-2, 100], [-2, 100], [-2, 1100], pauses=pauses)
        assert said is Start.RUNS_ELSEWHERE
        assert pauses == [LOOK_SECONDS] * 2
        assert set(ledger.dead_since) == {""}

    def test_takes_over_from_one_that_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        said, ledger = start(monkeypatch, *[[-2, 100]] * (1 + LOOKS), [2], pauses=pauses)
        assert said is Start.RUN
        assert sum(pauses) == 4.0
        assert ledger.dead_since == [""] * (1 + LOOKS) + [100]

    def test_takes_over_for_the_last_time_but_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert start(monkeypatch, *[[-2, 100]] * (1 + LOOKS), [4])[0] is Start.TOO_OFTEN

    def test_leaves_it_to_another_copy_that_was_quicker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert start(monkeypatch, *[[-2, 100]] * (1 + LOOKS), [-2, 4100])[0] is Start.RUNS_ELSEWHERE

    def test_does_nothing_once_the_other_has_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert start(monkeypatch, [-2, 100], [-1])[0] is Start.NOT_WANTED

    def test_runs_uncounted_when_redis_goes_away_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone(_: float) -> None:
            raise redis.ConnectionError("gone")

        monkeypatch.setattr(tasks.starts, "_script", lambda _: Ledger([[-2, 100]]))
        assert note_start(run(), max_starts=3, settings=RedisSettings(), pause=gone) is Start.RUN
