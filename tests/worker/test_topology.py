"""A worker works on a broker where nobody was before, and leaves alone what is not its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.queues import PARKED, SHELF, Queue, dead
from tests.services import pause

if TYPE_CHECKING:
    from pytest_celery import CeleryTestSetup

    from tests.broker_view import BrokerView

EVERY = ["ai", "generic", Queue.CALLBACKS, PARKED, dead("ai"), dead("generic"), SHELF]


class TestWorkerForOneQueue:
    def test_declares_everything_on_an_empty_broker(self, celery_setup: CeleryTestSetup, broker: BrokerView) -> None:
        assert celery_setup.ready(control=True)
        assert {name: broker.waiting(name) for name in EVERY} == dict.fromkeys(EVERY, 0)
        assert [broker.consumers(name) for name in ("ai", "generic", Queue.CALLBACKS)] == [1, 0, 0]


class TestBareWorker:
    @pytest.fixture
    def worker_arguments(self, broker: BrokerView) -> list[str]:
        """No queue is named; what waits there was there before."""
        broker.declare()
        broker.put(Queue.CALLBACKS, b"[[1], {}, {}]", {"task": "procos.complete", "id": "x"})
        return ["-c", "1"]

    def test_takes_tasks_and_never_results(self, celery_setup: CeleryTestSetup, broker: BrokerView) -> None:
        assert celery_setup.ready(control=True)
        pause(1)
        assert [broker.consumers(name) for name in ("ai", "generic")] == [1, 1]
        assert [broker.consumers(name) for name in (Queue.CALLBACKS, PARKED, dead("ai"), SHELF)] == [0, 0, 0, 0]
        assert broker.waiting(Queue.CALLBACKS) == 1
