"""A step that is cancelled while its task runs: the task is told, then interrupted, then its process is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.queues import Queue
from tests.services import pause, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_celery import CeleryTestSetup

    from bridge.ledger import Ledger
    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    return tmp_path / "effects"


def noted(effects: Path) -> list[str]:
    return [line.split()[0] for line in effects.read_text().splitlines()]


class TestWorkerWithProcesses:
    @pytest.fixture
    def worker_arguments(self) -> list[str]:
        return ["-Q", "ai,generic", "-c", "1"]

    def test_interrupts_a_task_and_goes_on_in_the_same_process(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        ledger: Ledger,
        effects: Path,
    ) -> None:
        assert celery_setup.worker
        ref = send("sample_sleep", seconds=30, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")
        ledger.cancel(ref, "ai")
        send("sample_values", text="next")
        assert "text_back" in str(broker.take(Queue.CALLBACKS, 10).body)
        celery_setup.worker.assert_log_exists("task.stopped")
        assert noted(effects) == ["start"]
        assert (broker.waiting("ai"), broker.waiting(Queue.CALLBACKS)) == (0, 0)
        assert "WorkerLost" not in celery_setup.worker.logs()

    def test_kills_the_process_of_a_task_that_will_not_stop(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        ledger: Ledger,
        effects: Path,
    ) -> None:
        assert celery_setup.worker
        ref = send("sample_stubborn", seconds=60, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")
        ledger.cancel(ref, "ai")
        send("sample_values", text="next")
        assert "text_back" in str(broker.take(Queue.CALLBACKS, 30).body)
        celery_setup.worker.assert_log_exists("task.killed")
        assert noted(effects) == ["start", "swallowed"]
        wait_until(lambda: broker.waiting("ai") == 0, 10, what="its copy was taken")
        pause(1)
        assert noted(effects) == ["start", "swallowed"]
        assert broker.waiting(Queue.CALLBACKS) == 0

    def test_lets_a_task_end_that_ends_in_time(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        ledger: Ledger,
        effects: Path,
    ) -> None:
        assert celery_setup.worker
        ref = send("sample_sleep", seconds=3, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")
        ledger.cancel(ref, "ai")
        send("sample_sleep", seconds=6)
        answers = [str(broker.take(Queue.CALLBACKS, 20).body) for _ in range(2)]
        assert [seconds in answer for seconds, answer in zip(("3.0", "6.0"), answers, strict=True)] == [True, True]
        assert noted(effects) == ["start", "effect"]


class TestWorkerWithThreads:
    def test_tells_a_task_and_leaves_the_rest_to_it(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        ledger: Ledger,
        effects: Path,
    ) -> None:
        assert celery_setup.worker
        ref = send("sample_sleep", seconds=8, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")
        ledger.cancel(ref, "ai")
        celery_setup.worker.wait_for_log("task.cancelled", timeout=5)
        broker.take(Queue.CALLBACKS, 20)
        assert noted(effects) == ["start", "effect"]
