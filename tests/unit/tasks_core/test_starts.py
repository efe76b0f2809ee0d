"""Noting a start: what the ledger's answer means, and what its silence means."""

from __future__ import annotations

import socket

import pytest
import redis

import tasks.starts
from procos.settings import RedisSettings
from procos.testing import dispatch_ref
from tasks.starts import Start, note_start


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class TestNoteStart:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [(0, Start.RUN), (1, Start.RUN), (3, Start.RUN), (4, Start.TOO_OFTEN), (-1, Start.SUPERSEDED)],
    )
    def test_follows_the_ledger(self, monkeypatch: pytest.MonkeyPatch, answer: int, expected: Start) -> None:
        monkeypatch.setattr(tasks.starts, "_script", lambda _: lambda **__: answer)
        assert note_start(dispatch_ref(), "worker", max_starts=3, settings=RedisSettings()) is expected

    def test_runs_uncounted_without_redis(self) -> None:
        settings = RedisSettings(url=f"redis://127.0.0.1:{closed_port()}/0")
        assert note_start(dispatch_ref(), "worker", max_starts=3, settings=settings) is Start.RUN

    def test_runs_uncounted_when_redis_is_frozen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def frozen(**_: object) -> int:
            raise redis.TimeoutError("Timeout reading from socket")

        monkeypatch.setattr(tasks.starts, "_script", lambda _: frozen)
        assert note_start(dispatch_ref(), "worker", max_starts=3, settings=RedisSettings()) is Start.RUN
