"""Dead letters on a real RabbitMQ: what it moves there becomes an incident, and nothing is lost on the way."""

from __future__ import annotations

import json
import threading
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import bridge.dead_letters
from bridge.dead_letters import DeadLetters
from procos.domain.errors import EngineDeniedError
from procos.queues import DEAD_LETTERS, DELIVERY_LIMIT, EXCHANGE, SHELF, connect, dead
from procos.settings import BrokerSettings
from tests.contract.outbox import Outbox
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView
    from tests.services import Service

TIMEOUT = 20.0
NAME = "procos.ai_query"


class Graveyard(Outbox):
    """What a case may do: dispatch steps, let their messages die, and look for them."""

    def __init__(self, settings: BrokerSettings) -> None:
        super().__init__(settings)
        self._threads: list[tuple[threading.Thread, threading.Event]] = []

    def look_after(self) -> None:
        """Start the part that looks into the dead letters."""
        stop = threading.Event()
        thread = threading.Thread(target=self.letters(stop).run, args=(stop,), daemon=True)
        self._threads.append((thread, stop))
        thread.start()

    def letters(self, stop: threading.Event | None = None) -> DeadLetters:
        """Build the part, to be turned by hand."""
        reporter = self.reporter(stop or threading.Event())
        return DeadLetters(reporter, self.ledger, self.settings, queues=["ai", "generic", "callbacks"])

    def publish(
        self,
        ref: DispatchRef,
        *,
        content_type: str = "application/json",
        exchange: str = EXCHANGE.name,
        routing_key: str = "ai",
    ) -> None:
        """Publish the task of a dispatch, as the publisher does."""
        body = json.dumps([[], {"dispatch": ref.to_json(), "variables": {"user_query": "hi"}}, {}]).encode()
        with connect(self.settings, confirm_publish=True) as connection:
            channel: Any = connection.default_channel
            message = channel.prepare_message(
                body,
                content_type=content_type,
                content_encoding="utf-8",
                headers={"task": NAME, "id": ref.celery_id},
                properties={"correlation_id": ref.celery_id},
            )
            channel.basic_publish(message, exchange=exchange, routing_key=routing_key, mandatory=True)

    def kill_workers(self, times: int = DELIVERY_LIMIT + 1) -> None:
        """Do what a task does that kills its worker: each takes the message and ends without a word."""
        for _ in range(times):
            wait_until(lambda: self.view.waiting("ai") == 1, TIMEOUT, what="the message is delivered again")
            with connect(self.settings) as connection:
                assert _basic(connection).basic_get("ai") is not None

    def reject(self) -> None:
        """Do what a worker does with a task it does not know."""
        with connect(self.settings) as connection:
            channel = _basic(connection)
            message = channel.basic_get("ai")
            channel.basic_reject(message.delivery_tag, requeue=False)

    def until_dead(self, count: int = 1) -> None:
        """Wait until the broker has moved so many."""
        wait_until(lambda: self.view.waiting(dead("ai")) == count, TIMEOUT, what=f"{count} lie dead")

    def until_shelved(self, count: int = 1) -> None:
        """Wait until so many are on the shelf, and none on its way there."""
        waiting = self.view.waiting
        wait_until(lambda: (waiting(dead("ai")), waiting(SHELF)) == (0, count), TIMEOUT, what=f"{count} are shelved")

    def close(self) -> None:
        for thread, stop in self._threads:
            stop.set()
            thread.join(TIMEOUT)
            assert not thread.is_alive()
        super().close()


@pytest.fixture
def graves(declared: BrokerView, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graveyard]:
    monkeypatch.setattr(bridge.dead_letters, "TURN_SECONDS", 0.2)
    monkeypatch.setattr(bridge.dead_letters, "PAUSE_SECONDS", 0.4)
    monkeypatch.setattr(bridge.dead_letters, "RECONNECT_SECONDS", 0.2)
    graves = Graveyard(declared.settings)
    yield graves
    graves.close()
    declared.empty()


class TestDeliveryLimit:
    def test_ends_in_one_incident_that_names_it(self, graves: Graveyard) -> None:
        graves.look_after()
        ref = graves.step()
        graves.publish(ref)
        graves.kill_workers()
        graves.until_shelved()
        assert graves.engine.incidents == {
            ref.external_task_id: f"the task '{NAME}' was delivered 6 times without an answer: "
            "it kills its worker, or the worker is too old to read it"
        }
        kept = graves.view.take(SHELF)
        assert json.loads(kept.body)[1]["variables"] == {"user_query": "hi"}
        assert kept.properties["correlation_id"] == ref.celery_id
        assert kept.headers.get("x-delivery-count", 0) == 0
        assert [name for name in kept.headers if name.startswith(("x-death", "x-first-death"))] == []

    def test_leaves_a_message_that_was_delivered_less_often(self, graves: Graveyard) -> None:
        graves.publish(graves.step())
        graves.kill_workers(DELIVERY_LIMIT)
        wait_until(lambda: graves.view.waiting("ai") == 1, TIMEOUT, what="it is offered once more")
        assert graves.view.waiting(dead("ai")) == 0


class TestRejection:
    def test_of_a_task_no_worker_knows_is_an_incident_that_says_so(self, graves: Graveyard) -> None:
        graves.look_after()
        ref = graves.step()
        stored = {"exc_type": "NotRegistered", "exc_message": [NAME]}
        graves.ledger.results[ref.celery_id] = {"status": "FAILURE", "result": stored}
        graves.publish(ref)
        graves.reject()
        graves.until_shelved()
        assert graves.engine.incidents[ref.external_task_id].startswith(f"no worker knows the task '{NAME}'")

    def test_of_a_content_type_is_an_incident_that_names_it(self, graves: Graveyard) -> None:
        graves.look_after()
        ref = graves.step()
        graves.publish(ref, content_type="application/x-python-serialize")
        graves.reject()
        graves.until_shelved()
        assert "'application/x-python-serialize'" in graves.engine.incidents[ref.external_task_id]

    @pytest.mark.parametrize("body", [b"garbage", b"{}", b"\xff\xfe", b"[" * 100_000, b"[[], {}, {}]"])
    def test_of_what_carries_no_identity_keeps_it_as_it_came(self, graves: Graveyard, body: bytes) -> None:
        graves.look_after()
        graves.view.put("ai", body, {})
        graves.reject()
        graves.until_shelved()
        kept = graves.view.take(SHELF)
        assert kept.body in {body, body.decode(errors="ignore")}
        assert kept.headers["x-procos-reason"]
        assert graves.engine.calls == []

    def test_of_what_would_unpack_to_all_memory_keeps_it_packed(self, graves: Graveyard) -> None:
        graves.look_after()
        bomb = zlib.compress(b"[" * 10_000_000)
        graves.view.put("ai", bomb, {"compression": "application/x-gzip"})
        graves.reject()
        graves.until_shelved()
        assert graves.view.take(SHELF).body == bomb


class TestOutage:
    def test_of_the_engine_keeps_all_and_makes_the_incidents_when_it_is_back(self, graves: Graveyard) -> None:
        refs = [graves.step() for _ in range(3)]
        graves.engine.is_down = True
        graves.look_after()
        for ref in refs:
            graves.publish(ref)
            graves.reject()
        wait_until(lambda: graves.engine.calls.count("fail") > 3, TIMEOUT, what="it was tried again and again")
        wait_until(lambda: _everywhere(graves) == 3, TIMEOUT, what="all are kept")
        assert graves.view.waiting(SHELF) == 0
        graves.engine.is_down = False
        graves.until_shelved(3)
        assert set(graves.engine.incidents) == {ref.external_task_id for ref in refs}

    def test_of_redis_keeps_the_message(self, graves: Graveyard) -> None:
        ref = graves.step()
        graves.ledger.is_down = True
        graves.look_after()
        graves.publish(ref)
        graves.reject()
        graves.until_dead()
        graves.ledger.is_down = False
        graves.until_shelved()
        assert list(graves.engine.incidents) == [ref.external_task_id]

    def test_of_the_broker_is_survived(self, graves: Graveyard, rabbitmq: Service) -> None:
        graves.look_after()
        rabbitmq.stop()
        rabbitmq.start()
        graves.view.await_recovery()
        ref = graves.step()
        graves.publish(ref)
        graves.reject()
        graves.until_shelved()
        assert list(graves.engine.incidents) == [ref.external_task_id]


class TestPuttingOff:
    def test_starves_nobody(self, graves: Graveyard) -> None:
        suspended = [graves.step() for _ in range(5)]
        others = [graves.step() for _ in range(5)]
        for ref in suspended:
            graves.engine.suspend(ref.external_task_id)
        for ref in (*suspended, *others):
            graves.publish(ref)
            graves.reject()
        graves.until_dead(10)
        letters = graves.letters()
        assert letters.turn() is True
        letters.close()
        assert set(graves.engine.incidents) == {ref.external_task_id for ref in others}
        graves.until_dead(5)
        for ref in suspended:
            graves.engine.suspend(ref.external_task_id, suspended=False)
        graves.look_after()
        graves.until_shelved(10)
        assert len(graves.engine.incidents) == 10

    def test_remembers_why_the_message_died(self, graves: Graveyard) -> None:
        ref = graves.step()
        graves.publish(ref)
        graves.kill_workers()
        graves.until_dead()
        graves.engine.refuse_next(EngineDeniedError("401", status=401))
        letters = graves.letters()
        assert [letters.turn(), letters.turn()] == [True, False]
        letters.close()
        assert "delivered 6 times" in graves.engine.incidents[ref.external_task_id]


class TestCrash:
    def test_between_publication_and_acknowledgement_leaves_it_twice_and_one_incident(
        self, graves: Graveyard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ref = graves.step()
        graves.publish(ref)
        graves.reject()
        graves.until_dead()
        letters = graves.letters()
        with _no_acknowledgement(monkeypatch), pytest.raises(ConnectionError):
            letters.turn()
        letters.close()
        graves.until_dead()
        wait_until(lambda: graves.view.waiting(SHELF) == 1, TIMEOUT, what="the copy is there")
        letters.turn()
        letters.close()
        graves.until_shelved(2)
        assert list(graves.engine.incidents) == [ref.external_task_id]

    def test_before_the_verdict_leaves_it_where_it_was(
        self, graves: Graveyard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        graves.publish(graves.step())
        graves.reject()
        graves.until_dead()
        letters = graves.letters()
        monkeypatch.setattr(graves.ledger, "stored_result", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            letters.turn()
        letters.close()
        graves.until_dead()
        assert graves.view.waiting(SHELF) == 0


class TestWithoutRabbitmq:
    """Redis as the broker: a worker that refuses a message puts it among the dead letters itself."""

    def test_ends_in_one_incident_and_on_the_shelf_too(
        self, redis_client: redis.Redis, redis_server: Service  # noqa: ARG002  # emptied first
    ) -> None:  # fmt: skip
        graves = Graveyard(BrokerSettings(url=redis_server.environment["PROCOS_REDIS_URL"]))
        graves.view.declare()
        ref = graves.step()
        graves.ledger.results[ref.celery_id] = {
            "status": "FAILURE",
            "result": {"exc_type": "NotRegistered", "exc_message": [NAME]},
        }
        letters = graves.letters()
        graves.publish(ref, exchange=DEAD_LETTERS.name, routing_key=dead("ai"))
        graves.engine.is_down = True
        assert letters.turn() is True
        graves.engine.is_down = False
        assert letters.turn() is False
        letters.close()
        assert graves.engine.incidents[ref.external_task_id].startswith(f"no worker knows the task '{NAME}'")
        assert (graves.view.waiting(SHELF), graves.view.waiting(dead("ai"))) == (1, -1)


@contextmanager
def _no_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def killed(*_: object, **__: object) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("kombu.message.Message.ack", killed)
        yield


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _everywhere(graves: Graveyard) -> int:
    return graves.view.waiting("ai") + graves.view.waiting(dead("ai"))


def _basic(connection: Any) -> Any:
    return connection.default_channel
