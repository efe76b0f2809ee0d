"""A replayed task runs on a real worker, unless its step has ended or was dispatched anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.moving import publish_again, take
from bridge.outcomes import read_callback
from bridge.shelf import Shelf, shelf_headers
from procos.domain.external_task import Token
from procos.domain.outcome import Completion
from procos.queues import DEAD_LETTERS, SHELF, Queue, connect
from tests.services import pause, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_celery import CeleryTestSetup

    from bridge.ledger import Ledger
    from procos.domain.dispatch import DispatchRef
    from procos.settings import Settings
    from tests.broker_view import BrokerView

TIMEOUT = 20.0


@pytest.fixture
def worker_arguments() -> list[str]:
    return ["-Q", "generic", "-c", "1"]


@pytest.fixture
def shelved(
    settings: Settings, broker: BrokerView, send: Callable[..., DispatchRef], ledger: Ledger
) -> Callable[[], DispatchRef]:
    """Publish a task while no worker looks, and put it on the shelf as an incident has it."""

    def shelve() -> DispatchRef:
        ref = send("sample_values", text="once more")
        with connect(settings.broker, confirm_publish=True) as connection:
            channel: Any = connection.channel()
            wait_until(lambda: broker.waiting("generic") == 1, TIMEOUT, what="the task is there")
            message = take(channel, "generic")
            headers = shelf_headers(message, origin="generic", reason="it died", moment=datetime.now(UTC), ref=ref)
            publish_again(
                channel, message, exchange=DEAD_LETTERS, routing_key=SHELF, headers=headers, confirm_timeout=5
            )
            message.ack()
        ledger.close(ref, "generic", "incident")
        return ref

    return shelve


class TestReplayedTask:
    def test_runs_and_its_result_travels_to_the_bridge(
        self,
        shelved: Callable[[], DispatchRef],
        settings: Settings,
        broker: BrokerView,
        ledger: Ledger,
        request: pytest.FixtureRequest,
    ) -> None:
        broker.declare()
        ref = shelved()
        (sent,) = Shelf(settings.broker, ["ai", "generic"]).replay([ref.celery_id])
        assert (sent.trouble, sent.letter.queue) == ("", "generic")
        worker: CeleryTestSetup = request.getfixturevalue("celery_setup")
        wait_until(lambda: broker.waiting(Queue.CALLBACKS) == 1, TIMEOUT, what="the result is there")
        with connect(settings.broker) as connection:
            callback = read_callback(take(connection.channel(), Queue.CALLBACKS), ledger)
        assert callback.ref == ref
        assert callback.outcome == Completion(variables={"text_back": "once more"})
        assert worker.worker.container.status == "running"

    def test_is_not_run_when_its_step_was_dispatched_anew(
        self,
        shelved: Callable[[], DispatchRef],
        settings: Settings,
        broker: BrokerView,
        ledger: Ledger,
        request: pytest.FixtureRequest,
    ) -> None:
        broker.declare()
        ref = shelved()
        ledger.reserve([replace(ref, token=Token(ref.token + 1))], "generic", timedelta(minutes=5))
        assert len(list(Shelf(settings.broker, ["ai", "generic"]).replay(None))) == 1
        worker: CeleryTestSetup = request.getfixturevalue("celery_setup")
        worker.worker.assert_log_exists("task.not_run")
        pause(1)
        assert [broker.waiting(name) for name in ("generic", Queue.CALLBACKS, SHELF)] == [0, 0, 0]
