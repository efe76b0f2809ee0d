"""Parking on real brokers: a result that cannot be reported now stalls nobody, is counted, and is not lost."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import amqp
import kombu
import pytest

import bridge.parking
import procos.queues
from procos.domain.errors import EngineDeniedError, EngineRejectedError, LeaseLostError
from procos.kernel.parts import rabbitmq as rabbitmq_part
from procos.queues import EXCHANGE, PARKED, Queue, connect, dead
from procos.settings import BrokerSettings
from tests.contract.outbox import ENVELOPE, PARKING_MILLISECONDS, TIMEOUT, Outbox
from tests.services import pause, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from tests.broker_view import BrokerView
    from tests.services import Service

REFUSAL = EngineRejectedError("Unknown property ${x}", status=500, kind="ProcessEngineException")
PAUSE_SECONDS = 0.3


@pytest.fixture
def outbox(broker: BrokerView, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    monkeypatch.setattr(procos.queues, "PARKING_MILLISECONDS", PARKING_MILLISECONDS)
    outbox = Outbox(broker.settings)
    yield outbox
    outbox.close()
    broker.empty()


class TestParking:
    def test_lets_others_pass_until_a_suspended_instance_is_active_again(self, outbox: Outbox) -> None:
        outbox.consume()
        suspended, other = outbox.step(), outbox.step()
        outbox.engine.suspend(suspended.external_task_id)
        outbox.put_result(suspended)
        outbox.put_result(other)
        outbox.until_reported(other)
        assert suspended.external_task_id not in outbox.engine.completed
        outbox.engine.suspend(suspended.external_task_id, suspended=False)
        outbox.until_reported(suspended)
        outbox.until_empty()

    @pytest.mark.parametrize(
        "error", [EngineDeniedError("401", status=401), LeaseLostError("held by a stranger", status=400)]
    )
    def test_keeps_results_that_may_be_reported_later(self, outbox: Outbox, error: Exception) -> None:
        outbox.consume()
        ref = outbox.step()
        outbox.engine.refuse_next(*[error] * 2)  # type: ignore[list-item]  # both are errors of the engine
        outbox.put_result(ref)
        outbox.until_reported(ref)

    def test_keeps_results_of_a_newer_version_for_a_newer_bridge(self, outbox: Outbox) -> None:
        outbox.consume()
        ref = outbox.step()
        outbox.put_result(ref, v=2)
        outbox.put_result(ref, {**ENVELOPE, "procos": 2})
        wait_until(lambda: outbox.view.waiting(PARKED) == 2, TIMEOUT, what="both are parked")
        assert outbox.view.waiting(dead(Queue.CALLBACKS)) == 0

    def test_is_counted_so_that_a_result_refused_again_and_again_ends_in_an_incident(self, outbox: Outbox) -> None:
        outbox.consume()
        ref = outbox.step()
        outbox.engine.refuse_next(*[REFUSAL] * 3)
        outbox.put_result(ref)
        wait_until(lambda: len(outbox.engine.incidents) == 1, TIMEOUT, what="it is an incident")
        outbox.until_empty()

    def test_is_counted_in_a_header_of_our_own(self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(procos.queues, "PARKING_MILLISECONDS", 60_000)
        outbox.consume()
        ref = outbox.step()
        outbox.engine.refuse_next(REFUSAL)
        outbox.put_result(ref)
        assert outbox.view.take(PARKED).headers["procos-parked"] == 1

    def test_waits_for_the_brokers_confirm_before_it_acknowledges(
        self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        confirmed = []
        publish = amqp.Channel.basic_publish_confirm

        def noting(self: amqp.Channel, *args: Any, **kwargs: Any) -> Any:
            confirmed.append(kwargs.get("routing_key"))
            return publish(self, *args, **kwargs)

        monkeypatch.setattr(amqp.Channel, "basic_publish_confirm", noting)
        outbox.consume()
        ref = outbox.step()
        outbox.engine.suspend(ref.external_task_id)
        outbox.put_result(ref)
        wait_until(lambda: PARKED in confirmed, 3.0, what="a result was parked with confirm")

    def test_loses_nothing_when_the_queue_was_deleted(self, outbox: Outbox) -> None:
        outbox.consume()
        ref = outbox.step()
        outbox.view.delete(PARKED)
        outbox.engine.refuse_next(EngineDeniedError("401", status=401))
        outbox.put_result(ref)
        outbox.until_reported(ref)
        outbox.until_empty()


class TestBlockedBroker:
    def test_neither_stalls_other_results_nor_loses_what_it_does_not_take(
        self, outbox: Outbox, rabbitmq: Service
    ) -> None:
        outbox = Outbox(outbox.settings.model_copy(update={"confirm_timeout": 1.0}))
        running = outbox.consume()
        refused, other = outbox.step(), outbox.step()
        outbox.engine.suspend(refused.external_task_id)
        with memory_alarm(rabbitmq):
            # Published while the alarm is on, a result would not arrive; so it is what the engine refuses that waits.
            pass
        outbox.put_result(refused)
        running.stop()
