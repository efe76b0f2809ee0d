from __future__ import annotations

from typing import Any

import pytest

from procos.kernel import queue_view
from procos.kernel.queue_view import QueueRow, queue_rows
from procos.queues import QueueDepth


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"ai": QueueDepth(ready=2, consumers=1), "ai.dead": QueueDepth(missing=True)}
    monkeypatch.setattr(queue_view, "depths", lambda _, names: {name: found[name] for name in names if name in found})


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
