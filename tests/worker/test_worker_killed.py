"""A worker that is killed loses nothing: what it had not finished is done by the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos import ledger_keys as keys
from procos.queues import Queue
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis
    from pytest_celery import CeleryTestSetup

    from bridge.ledger import Ledger
    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView


class TestKilledWorker:
    def test_is_followed_by_one_that_does_its_work(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        ledger: Ledger,
        tmp_path: Path,
    ) -> None:
        effects = tmp_path / "effects"
        ref = send("sample_sleep", seconds=2, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")
        celery_setup.worker.kill()
        assert broker.waiting(Queue.CALLBACKS) == 0
        celery_setup.worker.restart()
        assert broker.take(Queue.CALLBACKS, 30).headers["task"] == "procos.complete"
        assert effects.read_text().split() == ["start", ref.external_task_id] * 2 + ["effect", ref.external_task_id]
        client: redis.Redis = ledger._redis
        assert client.hget(keys.entry(ref.external_task_id), "starts") == "2"

    def test_when_asked_politely_finishes_what_it_has_begun(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        tmp_path: Path,
    ) -> None:
        effects = tmp_path / "effects"
        send("sample_sleep", seconds=1, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")
        celery_setup.worker.kill("SIGTERM")
        assert broker.take(Queue.CALLBACKS, 5).headers["task"] == "procos.complete"
        assert broker.waiting("ai") == 0
