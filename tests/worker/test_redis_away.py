"""While Redis is away workers go on: outcomes leave, and no slot is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.queues import Queue
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_celery import CeleryTestSetup

    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView
    from tests.services import Service

SLOTS = 2


@pytest.fixture
def worker_arguments() -> list[str]:
    return ["-Q", "ai", "-c", str(SLOTS)]


@pytest.fixture
def outage(redis_server: Service) -> Iterator[Service]:
    yield redis_server
    redis_server.kill()
    redis_server.start()


class TestWorkerWithoutRedis:
    def test_hands_over_its_outcomes_and_keeps_its_slots(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        outage: Service,
        tmp_path: Path,
    ) -> None:
        assert celery_setup.worker
        effects = tmp_path / "effects"
        for _ in range(SLOTS):
            send("sample_sleep", seconds=2, effects_file=str(effects))
        wait_until(lambda: effects.exists() and effects.read_text().count("start") == SLOTS, 20, what="all have begun")
        outage.kill()
        for _ in range(SLOTS):
            assert broker.take(Queue.CALLBACKS, 10).headers["task"] == "procos.complete"
        outage.start()
        effects.unlink()
        for _ in range(SLOTS):
            send("sample_sleep", seconds=2, effects_file=str(effects))
        wait_until(lambda: effects.exists() and effects.read_text().count("start") == SLOTS, 20, what="all have begun")
        assert "effect" not in effects.read_text()
