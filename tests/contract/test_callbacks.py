"""The outbox on a real RabbitMQ: no result is acknowledged before the engine's verdict, and none is lost."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import amqp
import pytest

import procos.queues
from bridge.callbacks import Callbacks
from bridge.dispatcher import dispatch_of
from bridge.reporter import Reporter
from procos.domain.errors import EngineDeniedError
from procos.domain.outcome import Completion, to_envelope
from procos.engine.protocol import Subscription
from procos.queues import PARKED, Queue, dead
from procos.routes import ROUTES, Route
from procos.testing import FakeEngine, FakeLedger
from procos.testing.samples import HOLDER
from tests.services import pause, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTaskId, Topic
    from tests.broker_view import BrokerView
    from tests.services import Service

ENVELOPE = dict(to_envelope(Completion(variables={"answer": 42})).fields)
PARKING_MILLISECONDS = 400
TIMEOUT = 15.0


class SlowEngine(FakeEngine):
    """An engine whose completions wait until the test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def complete(self, *args: Any, **kwargs: Any) -> None:
        self.entered.set()
        assert self.gate.wait(TIMEOUT)
        super().complete(*args, **kwargs)


@pytest.fixture
def engine() -> SlowEngine:
    return SlowEngine()


@pytest.fixture
def ledger(engine: SlowEngine) -> FakeLedger:
    return FakeLedger(engine.clock)


@pytest.fixture(autouse=True)
def short_parking(monkeypatch: pytest.MonkeyPatch, broker: BrokerView) -> Iterator[None]:
    monkeypatch.setattr(procos.queues, "PARKING_MILLISECONDS", PARKING_MILLISECONDS)
    yield
    broker.empty()


@pytest.fixture
def consume(engine: SlowEngine, ledger: FakeLedger, broker: BrokerView) -> Iterator[Callable[[], Callable[[], None]]]:
    """Start a consumer of results; returns what stops it."""
    stops: list[Callable[[], None]] = []

    def start() -> Callable[[], None]:
        stop = threading.Event()
        reporter = Reporter(engine, ledger, ROUTES, stop=stop)
        callbacks = Callbacks(reporter, ledger, broker.settings, completers=2, queues=["ai", "generic"])
        thread = threading.Thread(target=callbacks.run, args=(stop,), daemon=True)
        thread.start()

        def end() -> None:
            stop.set()
            callbacks.wake()
            thread.join(TIMEOUT)
            assert not thread.is_alive()

        stops.append(end)
        wait_until(lambda: broker.consumers(Queue.CALLBACKS) == 1, TIMEOUT, what="the consumer is there")
        return end

    yield start
    engine.gate.set()
    for stop_one in stops:
        stop_one()


@pytest.fixture
def step(engine: SlowEngine, ledger: FakeLedger) -> Callable[[], DispatchRef]:
    """Let an instance arrive at a step, and dispatch it."""

    def arrive() -> DispatchRef:
        engine.add()
        topic: Topic = next(iter(ROUTES))
        subscription = Subscription(topic=topic, lock_duration=timedelta(minutes=5))
        (task,) = engine.fetch_and_lock(HOLDER, [subscription], max_tasks=1, wait=timedelta(0))
        ref = dispatch_of(task, Route(task_name="t", queue="ai", module="m")).ref
        ledger.reserve([ref], "ai", timedelta(minutes=5))
        return ref

    return arrive


def put_result(view: BrokerView, ref: DispatchRef, envelope: object = ENVELOPE, **changes: object) -> None:
    body = [[envelope], {"dispatch": {**ref.to_json(), **changes}}, {}]
    view.put(Queue.CALLBACKS, json.dumps(body).encode(), {"task": "procos.complete", "id": "callback"})


def until_reported(engine: FakeEngine, *external_task_ids: ExternalTaskId) -> None:
    wait_until(lambda: set(external_task_ids) <= set(engine.completed), TIMEOUT, what="the results are reported")


def until_empty(view: BrokerView) -> None:
    wait_until(lambda: (view.waiting(Queue.CALLBACKS), view.waiting(PARKED)) == (0, 0), TIMEOUT, what="it is empty")


class TestCallbacks:
    def test_report_what_waits_on_a_broker_they_found_empty(
        self,
        consume: Callable[[], Callable[[], None]],
        step: Callable[[], DispatchRef],
        engine: SlowEngine,
        broker: BrokerView,
    ) -> None:
        consume()
        refs = [step() for _ in range(3)]
        for ref in refs:
            put_result(broker, ref)
        until_reported(engine, *[ref.external_task_id for ref in refs])
        assert engine.completed[refs[0].external_task_id] == {"answer": 42}

    def test_give_back_what_the_engine_has_not_answered_for(
        self,
        consume: Callable[[], Callable[[], None]],
        step: Callable[[], DispatchRef],
        engine: SlowEngine,
        broker: BrokerView,
    ) -> None:
        stop = consume()
        ref = step()
        engine.gate.clear()
        put_result(broker, ref)
        assert engine.entered.wait(TIMEOUT)
        assert broker.waiting(Queue.CALLBACKS) == 0
        stop()
        wait_until(lambda: broker.waiting(Queue.CALLBACKS) == 1, TIMEOUT, what="the result is back")
        engine.gate.set()
        consume()
        until_reported(engine, ref.external_task_id)
        until_empty(broker)

    def test_stop_consuming_while_the_engine_is_down_and_go_on_when_it_is_back(
        self,
        consume: Callable[[], Callable[[], None]],
        step: Callable[[], DispatchRef],
        engine: SlowEngine,
        broker: BrokerView,
    ) -> None:
        consume()
        refs = [step() for _ in range(30)]
        engine.is_down = True
        put_result(broker, refs[0])
        wait_until(lambda: engine.calls.count("complete") > 1, TIMEOUT, what="the engine was tried again")
        for ref in refs[1:]:
            put_result(broker, ref)
        pause(1.5)
        assert broker.waiting(Queue.CALLBACKS) == len(refs) - 1
        assert engine.completed == {}
        engine.is_down = False
        until_reported(engine, *[ref.external_task_id for ref in refs])
        until_empty(broker)

    def test_survive_a_restart_of_the_broker(
        self,
        consume: Callable[[], Callable[[], None]],
        step: Callable[[], DispatchRef],
        engine: SlowEngine,
        broker: BrokerView,
        rabbitmq: Service,
    ) -> None:
        consume()
        rabbitmq.stop()
        rabbitmq.start()
        broker.await_recovery()
        ref = step()
        wait_until(lambda: broker.consumers(Queue.CALLBACKS) == 1, TIMEOUT, what="the consumer is back")
        put_result(broker, ref)
        until_reported(engine, ref.external_task_id)


class TestParking:
    def test_lets_others_pass_until_a_suspended_instance_is_active_again(
        self,
        consume: Callable[[], Callable[[], None]],
        step: Callable[[], DispatchRef],
        engine: SlowEngine,
        broker: BrokerView,
    ) -> None:
        consume()
        suspended, other = step(), step()
        engine.suspend(suspended.external_task_id)
        put_result(broker, suspended)
        put_result(broker, other)
        until_reported(engine, other.external_task_id)
        assert suspended.external_task_id not in engine.completed
        engine.suspend(suspended.external_task_id, suspended=False)
        until_reported(engine, suspended.external_task_id)
        until_empty(broker)

    def test_keeps_results_while_the_credentials_are_wrong(
        self,
        consume: Callable[[], Callable[[], None]],
        step: Callable[[], DispatchRef],
        engine: SlowEngine,
        broker: BrokerView,
    ) -> None:
        consume()
        ref = step()
        engine.refuse_next(*[EngineDeniedError("401", status=401)] * 2)
        put_result(broker, ref)
        until_reported(engine, ref.external_task_id)

    def test_waits_for_the_brokers_confirm_before_it_acknowledges(
        self,
        consume: Callable[[], Callable[[], None]],
        step: Callable[[], DispatchRef],
        engine: SlowEngine,
        broker: BrokerView,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        confirmed = []
        publish = amqp.Channel.basic_publish_confirm

        def noting(self: amqp.Channel, *args: Any, **kwargs: Any) -> Any:
            confirmed.append(kwargs.get("routing_key"))
            return publish(self, *args, **kwargs)

        monkeypatch.setattr(amqp.Channel, "basic_publish_confirm", noting)
        consume()
        ref = step()
        engine.suspend(ref.external_task_id)
        put_result(broker, ref)
        wait_until(lambda: PARKED in confirmed, 3.0, what="a result was parked with confirm")


class TestDeadLetters:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"garbage", "protocol 2"),
            (b"{}", "protocol 2"),
            (b"\xff\xfe", "protocol 2"),
            (b"[[], {}, {}]", "one argument"),
            (b"[" * 100_000, "protocol 2"),
            (b'[[{"procos": 1, "kind": "completion", "variables": {}}], {}, {}]', "dispatch"),
        ],
        ids=["no json", "object", "no utf-8", "no argument", "deep", "no dispatch"],
    )
    def test_take_what_cannot_be_read_with_the_reason(
        self, consume: Callable[[], Callable[[], None]], broker: BrokerView, body: bytes, reason: str
    ) -> None:
        consume()
        broker.put(Queue.CALLBACKS, body, {"task": "procos.complete", "id": "callback"})
        message = broker.take(dead(Queue.CALLBACKS))
        assert reason in message.headers["x-procos-reason"]
        assert message.body in {body, body.decode(errors="ignore")}
        until_empty(broker)

    def test_take_results_of_a_newer_version(
        self, consume: Callable[[], Callable[[], None]], step: Callable[[], DispatchRef], broker: BrokerView
    ) -> None:
        consume()
        ref = step()
        put_result(broker, ref, v=2)
        assert "version 2" in broker.take(dead(Queue.CALLBACKS)).headers["x-procos-reason"]
        put_result(broker, ref, {**ENVELOPE, "procos": 2})
        assert "version 2" in broker.take(dead(Queue.CALLBACKS)).headers["x-procos-reason"]

    def test_take_a_message_without_headers(
        self, consume: Callable[[], Callable[[], None]], broker: BrokerView
    ) -> None:
        consume()
        broker.put(Queue.CALLBACKS, b"[[1], {}, {}]", {})
        assert broker.take(dead(Queue.CALLBACKS)).headers["x-procos-reason"]

    def test_stall_nobody(
        self,
        consume: Callable[[], Callable[[], None]],
        step: Callable[[], DispatchRef],
        engine: SlowEngine,
        broker: BrokerView,
    ) -> None:
        consume()
        ref = step()
        for _ in range(30):
            broker.put(Queue.CALLBACKS, b"garbage", {"task": "procos.complete"})
        put_result(broker, ref)
        until_reported(engine, ref.external_task_id)
        wait_until(lambda: broker.waiting(dead(Queue.CALLBACKS)) == 30, TIMEOUT, what="all are buried")
