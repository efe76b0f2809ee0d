"""A worker shows how many tasks it runs at once, and stops showing it the moment it takes no more."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import redis

from procos import ledger_keys as keys
from procos.worker_slots import KEPT_MILLISECONDS
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_celery import CeleryTestSetup

    from bridge.ledger import Ledger
    from procos.domain.dispatch import DispatchRef
    from procos.settings import Settings
    from tests.services import Service

SLOTS = 3


@pytest.fixture(params=["threads", "prefork"])
def worker_arguments(request: pytest.FixtureRequest) -> list[str]:
    return ["-Q", "ai,generic", "-P", request.param, "-c", str(SLOTS)]


def shown(ledger: Ledger) -> tuple[int, int]:
    return ledger.demand("ai").slots, ledger.demand("generic").slots


class TestSlots:
    def test_are_there_while_the_worker_takes_tasks_and_go_before_it_does(
        self, celery_setup: CeleryTestSetup, ledger: Ledger, send: Callable[..., DispatchRef], tmp_path: Path
    ) -> None:
        effects = tmp_path / "effects"
        # Those that a test before this one has killed run out first.
        wait_until(lambda: shown(ledger) == (SLOTS, SLOTS), 15, what="the slots are shown")
        send("sample_sleep", seconds=20, effects_file=str(effects))
        wait_until(lambda: effects.exists() and "start" in effects.read_text(), 20, what="the task has begun")
        os.kill(celery_setup.worker.container.pid, signal.SIGTERM)
        wait_until(lambda: shown(ledger) == (0, 0), 2, what="the slots are gone")
        assert celery_setup.worker.container.status == "running"

    def test_are_shown_again_before_they_run_out(
        self, celery_setup: CeleryTestSetup, ledger: Ledger, settings: Settings
    ) -> None:
        assert celery_setup.worker
        wait_until(lambda: shown(ledger) == (SLOTS, SLOTS), 15, what="the slots are shown")
        with redis.Redis.from_url(settings.redis.url) as client:
            ((_, first),) = client.zrange(keys.slots("ai"), 0, -1, withscores=True)

            def is_later() -> bool:
                ((_, until),) = client.zrange(keys.slots("ai"), 0, -1, withscores=True)
                return bool(until > first)

            wait_until(is_later, KEPT_MILLISECONDS / 2000, what="the slots are shown again")


class TestWorkerWithoutRedis:
    @pytest.fixture
    def worker_arguments(self) -> list[str]:
        return ["-Q", "ai,generic", "-P", "prefork", "-c", str(SLOTS)]

    @pytest.fixture
    def outage(self, redis_server: Service) -> Service:
        return redis_server

    def test_shows_its_slots_again_when_redis_is_back(
        self, celery_setup: CeleryTestSetup, ledger: Ledger, outage: Service
    ) -> None:
        wait_until(lambda: shown(ledger) == (SLOTS, SLOTS), 15, what="the slots are shown")
        outage.kill()
        outage.start()
        wait_until(lambda: shown(ledger) == (SLOTS, SLOTS), 20, what="the slots are shown again")
        assert celery_setup.worker.container.status == "running"
