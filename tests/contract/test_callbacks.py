"""The outbox on a real RabbitMQ: no result is acknowledged before the engine's verdict, and none is lost."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

import procos.queues
from bridge.outcomes import LARGEST_BODY
from procos.queues import SHELF, Queue
from tests.contract.outbox import PARKING_MILLISECONDS, TIMEOUT, Outbox
from tests.contract.tls_front import TlsFront
from tests.services import pause, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.wakeup import Wakeup
    from tests.broker_view import BrokerView
    from tests.services import Service


@pytest.fixture
def outbox(broker: BrokerView, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    monkeypatch.setattr(procos.queues, "PARKING_MILLISECONDS", PARKING_MILLISECONDS)
    outbox = Outbox(broker.settings)
    yield outbox
    outbox.close()
    broker.empty()


class TestCallbacks:
    def test_report_what_waits_on_a_broker_they_found_empty(self, outbox: Outbox) -> None:
        outbox.consume()
        refs = [outbox.step() for _ in range(3)]
        for ref in refs:
            outbox.put_result(ref)
        outbox.until_reported(*refs)
        assert outbox.engine.completed[refs[0].external_task_id] == {"answer": 42}

    def test_give_back_what_the_engine_has_not_answered_for(self, outbox: Outbox) -> None:
        running = outbox.consume()
        ref = outbox.step()
        outbox.engine.gate.clear()
        outbox.put_result(ref)
        assert outbox.engine.entered.wait(TIMEOUT)
        assert outbox.view.waiting(Queue.CALLBACKS) == 0
        running.stop()
        wait_until(lambda: outbox.view.waiting(Queue.CALLBACKS) == 1, TIMEOUT, what="the result is back")
        outbox.engine.gate.set()
        outbox.consume()
        outbox.until_reported(ref)
        outbox.until_empty()

    def test_stop_consuming_while_the_engine_is_down_and_go_on_when_it_is_back(self, outbox: Outbox) -> None:
        outbox.consume()
        refs = [outbox.step() for _ in range(30)]
        outbox.engine.is_down = True
        outbox.put_result(refs[0])
        wait_until(lambda: outbox.engine.calls.count("complete") > 1, TIMEOUT, what="the engine was tried again")
        for ref in refs[1:]:
            outbox.put_result(ref)
        pause(1.5)
        assert outbox.view.waiting(Queue.CALLBACKS) == len(refs) - 1
        assert outbox.engine.completed == {}
        outbox.engine.is_down = False
        outbox.until_reported(*refs)
        outbox.until_empty()

    def test_go_on_when_all_they_held_was_parked_for_want_of_a_ledger(self, outbox: Outbox) -> None:
        outbox.consume()
        failed, done = outbox.step(), outbox.step()
        outbox.engine.is_down = True
        outbox.put_failure(failed)
        wait_until(lambda: outbox.engine.calls.count("fail") > 0, TIMEOUT, what="the engine was tried")
        outbox.ledger.is_down = True
        pause(1.5)
        outbox.engine.is_down = False
        outbox.put_result(done)
        outbox.until_reported(done)
        outbox.ledger.is_down = False
        wait_until(lambda: len(outbox.engine.failures) == 1, TIMEOUT, what="the failure is reported")

    def test_turn_seldom_while_the_engine_hangs(self, outbox: Outbox, turns: list[float]) -> None:
        outbox.consume()
        ref = outbox.step()
        outbox.engine.is_down = True
        outbox.put_result(ref)
        wait_until(lambda: outbox.engine.calls.count("complete") > 0, TIMEOUT, what="the engine was tried")
        outbox.engine.gate.clear()
        outbox.engine.entered.clear()
        outbox.engine.is_down = False
        assert outbox.engine.entered.wait(TIMEOUT)
        pause(1.5)  # longer than the engine is left alone, so that the next try has fallen due
        turns.clear()
        pause(1.0)
        assert len(turns) < 5
        outbox.engine.gate.set()
        outbox.until_reported(ref)

    def test_survive_a_restart_of_the_broker(self, outbox: Outbox, rabbitmq: Service) -> None:
        outbox.consume()
        rabbitmq.stop()
        rabbitmq.start()
        outbox.view.await_recovery()
        ref = outbox.step()
        wait_until(lambda: outbox.view.consumers(Queue.CALLBACKS) == 1, TIMEOUT, what="the consumer is back")
        outbox.put_result(ref)
        outbox.until_reported(ref)

    def test_stop_in_time_while_the_broker_is_frozen(
        self, outbox: Outbox, rabbitmq: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(procos.queues, "ANSWER_SECONDS", 1.0)
        running = outbox.consume()
        rabbitmq.freeze()
        try:
            running.stop(seconds=5.0)
        finally:
            rabbitmq.freeze(frozen=False)
            outbox.view.await_recovery()


class TestTls:
    def test_hides_no_result_that_came_in_one_record_with_others(
        self, outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outbox.view.declare()
        refs = [outbox.step() for _ in range(3)]
        for ref in refs:
            outbox.put_result(ref)
        with TlsFront(outbox.settings, tmp_path) as front:
            monkeypatch.setenv("SSL_CERT_FILE", str(front.certificate))
            running = outbox.consume(front.settings)
            outbox.until_reported(*refs, seconds=4.0)
            late = outbox.step()
            outbox.put_result(late)
            outbox.until_reported(late, seconds=4.0)
            running.stop()


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
    def test_take_what_cannot_be_read_with_the_reason(self, outbox: Outbox, body: bytes, reason: str) -> None:
        outbox.consume()
        outbox.put(body)
        message = outbox.view.take(SHELF)
        assert reason in message.headers["x-procos-reason"]
        assert message.body in {body, body.decode(errors="ignore")}
        outbox.until_empty()

    def test_take_a_message_without_headers(self, outbox: Outbox) -> None:
        outbox.consume()
        outbox.view.put(Queue.CALLBACKS, b"[[1], {}, {}]", {})
        assert outbox.view.take(SHELF).headers["x-procos-reason"]

    @pytest.mark.parametrize("compression", ["application/x-gzip", "gzip", "nope", 7, ["gzip"]], ids=str)
    def test_take_what_claims_to_be_compressed_as_it_came(self, outbox: Outbox, compression: object) -> None:
        outbox.consume()
        ref = outbox.step()
        outbox.put(b"junk", id="bad", compression=compression)
        outbox.put_result(ref)
        outbox.until_reported(ref)
        (letter,) = outbox.shelved(1)
        assert (letter.id, letter.size) == ("bad", len(b"junk"))
        outbox.until_empty()

    def test_take_what_would_unpack_to_all_memory_packed(self, outbox: Outbox) -> None:
        outbox.consume()
        ref = outbox.step()
        bomb = zlib.compress(b"[" * (LARGEST_BODY + 1), 9)
        outbox.put(bomb, id="bomb", compression="application/x-gzip")
        outbox.put_result(ref)
        outbox.until_reported(ref)
        (letter,) = outbox.shelved(1)
        assert (letter.id, letter.size) == ("bomb", len(bomb))

    def test_stall_nobody(self, outbox: Outbox) -> None:
        outbox.consume()
        ref = outbox.step()
        for _ in range(30):
            outbox.put(b"garbage")
        outbox.put_result(ref)
        outbox.until_reported(ref)
        wait_until(lambda: outbox.view.waiting(SHELF) == 30, TIMEOUT, what="all are buried")

    def test_are_declared_again_when_somebody_deleted_them(self, outbox: Outbox) -> None:
        outbox.consume()
        for _ in range(2):  # the second finds the mover connected, which declares nothing of its own accord
            outbox.put(b"garbage")
            assert outbox.view.take(SHELF).headers["x-procos-reason"]
            outbox.view.delete(SHELF)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note each turn of the loop."""
    from bridge.wakeup import Wakeup  # patched here alone

    seen: list[float] = []
    wait = Wakeup.wait

    def noting(self: Wakeup, connection: object, seconds: float) -> None:
        seen.append(seconds)
        wait(self, connection, seconds)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(Wakeup, "wait", noting)
    return seen
