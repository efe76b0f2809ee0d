from __future__ import annotations

from typing import Any

import pytest

from procos.kernel import work_view
from procos.kernel.work_view import QueueRow, Work, queue_rows, work_of
from procos.queues import QueueDepth


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"ai": QueueDepth(ready=2, consumers=1), "ai.dead": QueueDepth(missing=True)}
    monkeypatch.setattr(work_view, "depths", lambda _, names: {name: found[name] for name in names if name in found})


class TestQueueRows:
    def test_shows_what_waits_who_consumes_and_what_is_not_there_yet(self, settings: Any) -> None:
        rows = queue_rows(settings(PROCOS_BROKER_URL="amqp://here//"))

        assert rows == [
            QueueRow(name="ai", ready=2, consumers=1),
            QueueRow(name="ai.dead", ready=0, consumers=0, is_missing=True),
        ]

    def test_does_not_make_up_consumers_where_the_broker_does_not_count_them(self, settings: Any) -> None:
        rows = queue_rows(settings(PROCOS_BROKER_URL="redis://here/1"))

        assert rows == [QueueRow(name="ai", ready=2, consumers=None), QueueRow(name="ai.dead", ready=0, consumers=None)]


class TestWork:
    def test_shows_what_answers_while_redis_and_engine_are_away(self, settings: Any) -> None:
        away = {"PROCOS_REDIS_URL": "redis://127.0.0.1:9/0", "PROCOS_ENGINE_URL": "http://127.0.0.1:9"}
        work = work_of(settings(PROCOS_BROKER_URL="amqp://here//", **away), ["broker", "redis", "engine"])

        assert [row.name for row in work.queues] == ["ai", "ai.dead"]
        assert (work.in_flight, work.incidents) == (None, None)
        assert ["Redis" in work.troubles[0], "engine" in work.troubles[1]] == [True, True]

    def test_asks_only_those_who_are_parts_of_the_stack(self, settings: Any) -> None:
        assert work_of(settings(PROCOS_ENGINE_URL="http://127.0.0.1:9"), ["flower"]) == Work(troubles=[])
