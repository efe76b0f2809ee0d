"""What the workers answer when the system asks them, over a real RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import BrokerUnreachableError
from procos.settings import load_settings
from tasks.system.fleet import CeleryFleet
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_celery import CeleryTestSetup

    from procos.domain.dispatch import DispatchRef
    from procos.settings import Settings
    from tests.broker_view import BrokerView


class TestFleet:
    @pytest.fixture
    def worker_arguments(self) -> list[str]:
        return ["-Q", "ai,generic", "-c", "2"]

    def test_says_what_each_worker_takes_and_is_at(
        self, celery_setup: CeleryTestSetup, send: Callable[..., DispatchRef], settings: Settings, tmp_path: Path
    ) -> None:
        assert celery_setup.worker
        effects = tmp_path / "effects"
        send("sample_sleep", seconds=8, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")

        (worker,) = CeleryFleet(settings).workers()

        assert (worker.queues, worker.pool, worker.concurrency) == (("ai", "generic"), "prefork", 2)
        assert [(run.task, run.queue) for run in worker.runs] == [("sample.sample_sleep", "ai")]

    def test_counts_what_is_in_flight(
        self, celery_setup: CeleryTestSetup, send: Callable[..., DispatchRef], settings: Settings, tmp_path: Path
    ) -> None:
        assert celery_setup.worker
        fleet, effects = CeleryFleet(settings), tmp_path / "effects"
        before = fleet.in_flight(["ai", "generic"])
        assert before is not None
        send("sample_sleep", seconds=8, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")

        assert fleet.in_flight(["ai", "generic"]) == before + 1
        assert fleet.depths(["ai"])["ai"].consumers == 1


def test_nobody_answers_where_there_is_no_worker(settings: Settings, broker: BrokerView) -> None:
    assert broker.waiting("ai") == -1  # nobody has even declared it
    assert list(CeleryFleet(settings).workers()) == []


def test_nobody_can_be_asked_without_a_broker() -> None:
    settings = load_settings({"PROCOS_BROKER_URL": "amqp://127.0.0.1:1//"}, dotenv=None)
    with pytest.raises(BrokerUnreachableError):
        CeleryFleet(settings).workers()
