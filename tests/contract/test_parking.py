"""Parking on real brokers: a result that cannot be reported now stalls nobody, is counted, and is not lost."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import amqp
import pytest

import bridge.parking
import procos.queues
from procos.domain.errors import EngineDeniedError, EngineRejectedError, LeaseLostError
from procos.kernel.parts import rabbitmq as rabbitmq_part
from procos.queues import PARKED, SHELF, Queue
from procos.settings import BrokerSettings
from tests.contract.outbox import ENVELOPE, PARKING_MILLISECONDS, TIMEOUT, Outbox
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from procos.domain.dispatch import DispatchRef
    from procos.domain.errors import EngineError
    from tests.broker_view import BrokerView
    from tests.services import Service

REFUSAL = EngineRejectedError("Unknown property ${x}", status=500, kind="ProcessEngineException")


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
    def test_keeps_results_that_may_be_reported_later(self, outbox: Outbox, error: EngineError) -> None:
        outbox.consume()
        ref = outbox.step()
        outbox.engine.refuse_next(*[error] * 2)
        outbox.put_result(ref)
        outbox.until_reported(ref)

    def test_keeps_results_of_a_newer_version_for_a_newer_bridge(self, outbox: Outbox) -> None:
        outbox.consume()
        ref = outbox.step()
        outbox.put_result(ref, v=2)
        outbox.put_result(ref, {**ENVELOPE, "procos": 2})
        wait_until(lambda: outbox.view.waiting(PARKED) == 2, TIMEOUT, what="both are parked")
        assert outbox.view.waiting(SHELF) == 0

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
        earlier, ref = outbox.step(), outbox.step()
        self.park(outbox, earlier)  # parking is connected, and will declare nothing of its own accord
        outbox.until_reported(earlier)
        outbox.view.delete(PARKED)
        self.park(outbox, ref)
        outbox.until_reported(ref)
        outbox.until_empty()

    def park(self, outbox: Outbox, ref: DispatchRef) -> None:
        outbox.engine.refuse_next(EngineDeniedError("401", status=401))
        outbox.put_result(ref)


class TestBlockedBroker:
    """RabbitMQ whose memory runs low: it delivers and takes acknowledgements, and reads from no publisher."""

    def test_neither_holds_up_the_other_results_nor_the_stop(
        self, outbox: Outbox, rabbitmq: Service, moves: list[bool]
    ) -> None:
        running = outbox.consume(outbox.settings.model_copy(update={"confirm_timeout": 1.0}))
        suspended, other = outbox.step(), outbox.step()
        outbox.engine.suspend(suspended.external_task_id)
        outbox.engine.gate.clear()
        outbox.put_result(suspended)
        outbox.put_result(other)
        assert outbox.engine.entered.wait(TIMEOUT)
        wait_until(lambda: _unseen(outbox) == 0, TIMEOUT, what="both are taken")
        with memory_alarm(rabbitmq):
            outbox.engine.gate.set()
            outbox.until_reported(other)
            wait_until(lambda: moves == [False], TIMEOUT, what="parking was refused")
            running.stop(seconds=5.0)
            wait_until(lambda: _unseen(outbox) == 1, TIMEOUT, what="the one that could not be parked is back")
        outbox.engine.suspend(suspended.external_task_id, suspended=False)
        outbox.consume()
        outbox.until_reported(suspended)
        outbox.until_empty()


class TestParkingWithoutTimedQueues:
    """Redis as the broker: the pause is made here, and no thread sleeps for it."""

    @pytest.fixture
    def outbox(self, redis_client: redis.Redis, redis_server: Service) -> Iterator[Outbox]:  # noqa: ARG002  # emptied
        outbox = Outbox(BrokerSettings(url=redis_server.environment["PROCOS_REDIS_URL"]))
        outbox.view.declare()
        yield outbox
        outbox.close()

    def test_is_counted_too(self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bridge.parking, "PAUSE_SECONDS", 0.3)
        outbox.consume()
        ref = outbox.step()
        outbox.engine.refuse_next(*[REFUSAL] * 3)
        outbox.put_result(ref)
        wait_until(lambda: len(outbox.engine.incidents) == 1, TIMEOUT, what="it is an incident")
        assert outbox.engine.calls.count("complete") == 3
        wait_until(lambda: _unseen(outbox) < 1, TIMEOUT, what="nothing is left")  # an empty list does not exist

    def test_stalls_nobody(self, outbox: Outbox) -> None:
        outbox.consume()
        suspended = [outbox.step() for _ in range(8)]
        for ref in suspended:
            outbox.engine.suspend(ref.external_task_id)
            outbox.put_result(ref)
        other = outbox.step()
        outbox.put_result(other)
        outbox.until_reported(other, seconds=4.0)
        for ref in suspended:
            outbox.engine.suspend(ref.external_task_id, suspended=False)
        outbox.until_reported(*suspended)

    def test_gives_back_at_the_end_what_it_kept(self, outbox: Outbox) -> None:
        running = outbox.consume()
        ref = outbox.step()
        outbox.engine.suspend(ref.external_task_id)
        outbox.put_result(ref)
        wait_until(lambda: "find" in outbox.engine.calls, TIMEOUT, what="the engine has refused it")
        running.stop()
        wait_until(lambda: _unseen(outbox) == 1, TIMEOUT, what="the result is back")


def _unseen(outbox: Outbox) -> int:
    return outbox.view.waiting(Queue.CALLBACKS)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of each message to be parked whether the broker took it."""
    seen: list[bool] = []
    park = bridge.parking.Parking.park

    def noting(self: bridge.parking.Parking, message: object, reason: str) -> bool:
        seen.append(park(self, message, reason))
        return seen[-1]

    monkeypatch.setattr(bridge.parking.Parking, "park", noting)
    return seen


@contextmanager
def memory_alarm(rabbitmq: Service) -> Iterator[None]:
    """Let RabbitMQ believe that its memory runs low."""
    _control(rabbitmq, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        yield
    finally:
        _control(rabbitmq, "set_vm_memory_high_watermark", "0.2")


def _control(rabbitmq: Service, *words: str) -> None:
    assert rabbitmq.part.launch is not None
    environment = dict(rabbitmq.part.launch("").environment)
    beside = rabbitmq_part.DEBIAN_SCRIPT.with_name("rabbitmqctl")
    program = str(beside) if beside.exists() else str(shutil.which("rabbitmqctl"))
    subprocess.run(
        [program, "-n", environment["RABBITMQ_NODENAME"], *words],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )
