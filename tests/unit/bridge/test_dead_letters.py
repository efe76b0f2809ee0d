"""What becomes of a dead-lettered task: reported, then moved, and never lost on the way."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

import bridge.dead_letters
from bridge.dead_letters import PAUSE_SECONDS, RECONNECT_SECONDS, TURN_SECONDS, DeadLetters
from procos import metrics
from procos.domain.errors import EngineDeniedError, EngineRejectedError
from procos.queues import SHELF, Queue
from procos.settings import BrokerSettings
from procos.testing import InstantStop

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.reporter import Reporter
    from procos.domain.dispatch import DispatchRef
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

POISON = {"x-death": [{"queue": "ai", "reason": "delivery_limit", "count": 1}]}


class FakeBroker:
    """Queues in memory, seen through one channel; may refuse publications, or break after one."""

    def __init__(self) -> None:
        self.queues: dict[str, list[Any]] = {"ai.dead": [], "generic.dead": [], SHELF: []}
        self.refuses = self.breaks_before_the_acknowledgement = False
        self.opened = 0

    def open(self, *_: object, **__: object) -> Any:
        self.opened += 1
        return SimpleNamespace(channel=lambda: self, connected=False, collect=lambda **_: None)

    def put(self, queue: str, body: object, **headers: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.queues[queue].append(
            SimpleNamespace(
                body=text, headers=headers, properties={}, content_type="application/json", content_encoding="utf-8"
            )
        )

    def basic_get(self, queue: str, *, no_ack: bool) -> Any:
        assert not no_ack
        if not self.queues[queue]:
            return None
        message = self.queues[queue][0]
        message.delivery_info = {"message_count": len(self.queues[queue]) - 1}
        message.ack = lambda: self._acknowledge(queue, message)
        return message

    def message_to_python(self, message: Any) -> Any:
        return message

    def prepare_message(self, body: bytes, **facts: Any) -> Any:
        return SimpleNamespace(body=body, **facts)

    def basic_publish(self, message: Any, *, routing_key: str, mandatory: bool, **_: object) -> None:
        assert mandatory
        if self.refuses:
            raise ConnectionError("the broker blocks publishers")
        self.queues[routing_key].append(message)

    def _acknowledge(self, queue: str, message: Any) -> None:
        if self.breaks_before_the_acknowledgement:
            self.breaks_before_the_acknowledgement = False
            raise ConnectionError("killed")
        self.queues[queue].remove(message)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    broker = FakeBroker()
    monkeypatch.setattr(bridge.dead_letters, "open_link", broker.open)
    return broker


@pytest.fixture
def letters(reporter: Reporter, ledger: FakeLedger, broker: FakeBroker) -> DeadLetters:  # noqa: ARG001  # patched in
    return DeadLetters(reporter, ledger, BrokerSettings(), queues=["ai", "generic", Queue.CALLBACKS])


@pytest.fixture
def dead(engine: FakeEngine, in_flight: Callable[..., DispatchRef], broker: FakeBroker) -> Callable[..., DispatchRef]:
    """Dispatch a step, and let its message die."""

    def die(**headers: object) -> DispatchRef:
        engine.add()
        ref = in_flight()
        body = [[], {"dispatch": ref.to_json(), "variables": {}}, {}]
        broker.put("ai.dead", body, id=ref.celery_id, task="procos.ai_query", **(headers or POISON))
        return ref

    return die


class TestDeadLetter:
    def test_becomes_one_incident_with_the_reason_and_is_kept(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        ref = dead()
        assert letters.turn() is False
        assert "delivered 6 times" in engine.incidents[ref.external_task_id]
        (kept,) = broker.queues[SHELF]
        assert broker.queues["ai.dead"] == []
        assert (kept.headers["x-procos-id"], kept.headers["x-procos-queue"]) == (ref.celery_id, "ai")
        assert (kept.headers["x-procos-topic"], kept.headers["x-procos-external-task"]) == (ref.topic, "task-1")
        assert "delivered 6 times" in kept.headers["x-procos-reason"]
        assert "x-death" not in kept.headers

    def test_of_a_task_no_worker_knows_says_so(
        self, letters: DeadLetters, ledger: FakeLedger, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        ref = dead(**{"x-death": [{"queue": "ai", "reason": "rejected"}]})
        ledger.results[ref.celery_id] = {
            "status": "FAILURE",
            "result": {"exc_type": "NotRegistered", "exc_message": ["procos.ai_query"]},
        }
        letters.turn()
        assert engine.incidents[ref.external_task_id].startswith("no worker knows the task 'procos.ai_query'")

    def test_of_a_step_that_is_gone_is_dropped(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        engine.cancel(dead().external_task_id)
        assert letters.turn() is False
        assert engine.incidents == {}
        assert [broker.queues[name] for name in ("ai.dead", SHELF)] == [[], []]

    def test_that_was_superseded_makes_no_incident(
        self,
        letters: DeadLetters,
        broker: FakeBroker,
        engine: FakeEngine,
        ledger: FakeLedger,
        dead: Callable[..., DispatchRef],
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        ref = dead()
        ledger.entries.clear()
        clock.advance(seconds=3600)
        in_flight()
        letters.turn()
        assert (engine.incidents, engine.failures) == ({}, [])
        assert [broker.queues[name] for name in ("ai.dead", SHELF)] == [[], []]
        assert engine.find(ref.external_task_id).retries is None

    def test_whose_task_had_succeeded_completes_the_step(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, ledger: FakeLedger,
        dead: Callable[..., DispatchRef],
    ) -> None:  # fmt: skip
        ref = dead()
        envelope = {"procos": 1, "kind": "completion", "variables": {"answer": 42}}
        ledger.results[ref.celery_id] = {"status": "SUCCESS", "result": envelope}
        letters.turn()
        assert engine.completed[ref.external_task_id] == {"answer": 42}
        assert broker.queues[SHELF] == []

    @pytest.mark.parametrize("body", [b"garbage", b"[[], {}, {}]", b"[" * 100_000])
    def test_without_identity_is_kept_at_once(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, body: bytes
    ) -> None:
        broker.put("generic.dead", body)
        assert letters.turn() is False
        (kept,) = broker.queues[SHELF]
        assert kept.body == body
        assert (len(kept.headers["x-procos-id"]), kept.headers["x-procos-queue"]) == (32, "generic")
        assert engine.calls == []


class TestPutOff:
    def test_is_what_finds_the_engine_down_and_reported_when_it_is_back(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        refs = [dead(), dead()]
        engine.is_down = True
        assert letters.turn() is True
        assert engine.calls.count("fail") == 1  # the second would fare no better
        assert len(broker.queues["ai.dead"]) == 2
        engine.is_down = False
        assert letters.turn() is False
        assert set(engine.incidents) == {ref.external_task_id for ref in refs}
        # The broker's word for the death was remembered, though a copy does not carry it.
        assert all("delivered 6 times" in text for text in engine.incidents.values())
        assert len(broker.queues[SHELF]) == 2

    def test_is_what_finds_redis_down(
        self, letters: DeadLetters, broker: FakeBroker, ledger: FakeLedger, dead: Callable[..., DispatchRef]
    ) -> None:
        dead()
        ledger.is_down = True
        assert letters.turn() is True
        assert [len(broker.queues[name]) for name in ("ai.dead", SHELF)] == [1, 0]

    def test_lets_those_behind_it_pass_in_the_same_turn(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        suspended, other = dead(), dead()
        engine.suspend(suspended.external_task_id)
        assert letters.turn() is True
        assert set(engine.incidents) == {other.external_task_id}
        (waiting,) = broker.queues["ai.dead"]
        assert waiting.headers["id"] == suspended.celery_id
        assert engine.calls.count("fail") == 2

    def test_does_not_keep_the_next_queue_from_its_turn(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        dead()
        broker.put("generic.dead", b"garbage")
        engine.is_down = True
        letters.turn()
        assert (broker.queues["generic.dead"], len(broker.queues[SHELF])) == ([], 1)

    def test_is_counted_so_that_what_the_engine_refuses_again_and_again_is_told_without_words(
        self, letters: DeadLetters, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        ref = dead()
        engine.refuse_next(*[EngineRejectedError("500", status=500)] * 3)
        assert [letters.turn() for _ in range(3)] == [True, True, False]
        assert "the bridge's log has them" in engine.incidents[ref.external_task_id]

    def test_is_what_a_newer_bridge_will_read(self, letters: DeadLetters, broker: FakeBroker) -> None:
        broker.put("ai.dead", [[], {"dispatch": {"v": 2}}, {}])
        assert letters.turn() is True
        assert [len(broker.queues[name]) for name in ("ai.dead", SHELF)] == [1, 0]

    def test_is_what_a_defect_of_ours_stumbles_over(
        self, letters: DeadLetters, broker: FakeBroker, reporter: Reporter, dead: Callable[..., DispatchRef],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        dead()
        monkeypatch.setattr(type(reporter), "report", lambda *_, **__: 1 / 0)
        assert letters.turn() is True
        assert len(broker.queues["ai.dead"]) == 1


class TestCrash:
    def test_between_publication_and_acknowledgement_leaves_it_twice_and_one_incident(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        ref = dead()
        broker.breaks_before_the_acknowledgement = True
        with pytest.raises(ConnectionError):
            letters.turn()
        assert [len(broker.queues[name]) for name in ("ai.dead", SHELF)] == [1, 1]
        letters.turn()
        assert [len(broker.queues[name]) for name in ("ai.dead", SHELF)] == [0, 2]
        assert list(engine.incidents) == [ref.external_task_id]

    def test_before_the_publication_leaves_it_where_it_was(
        self, letters: DeadLetters, broker: FakeBroker, dead: Callable[..., DispatchRef]
    ) -> None:
        dead()
        broker.refuses = True
        with pytest.raises(ConnectionError):
            letters.turn()
        assert [len(broker.queues[name]) for name in ("ai.dead", SHELF)] == [1, 0]


class TestRun:
    def test_looks_once_a_second_and_pauses_after_what_was_put_off(
        self, letters: DeadLetters, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        dead()
        engine.refuse_next(EngineDeniedError("401", status=401))
        stop = InstantStop(after=3)
        letters.run(stop)
        assert stop.waits == [PAUSE_SECONDS, TURN_SECONDS, TURN_SECONDS]

    def test_connects_again_after_the_connection_was_lost(
        self, letters: DeadLetters, broker: FakeBroker, dead: Callable[..., DispatchRef]
    ) -> None:
        dead()
        broker.breaks_before_the_acknowledgement = True
        stop = InstantStop(after=2)
        letters.run(stop)
        assert (stop.waits, broker.opened) == ([RECONNECT_SECONDS, TURN_SECONDS], 2)

    def test_tells_of_every_turn(self, letters: DeadLetters) -> None:
        beats: list[int] = []
        letters.run(InstantStop(after=2), lambda: beats.append(1))
        assert len(beats) == 2


class TestCount:
    def test_is_of_what_left_the_dead_letters_by_reason(
        self, letters: DeadLetters, broker: FakeBroker, engine: FakeEngine, dead: Callable[..., DispatchRef]
    ) -> None:
        metrics.know(topics=["ai_query"], queues=["ai", "generic"])
        before = {reason: counted("ai", reason) for reason in ("delivery_limit", "unreadable")}
        dead()
        engine.is_down = True
        letters.turn()
        assert counted("ai", "delivery_limit") == before["delivery_limit"]
        engine.is_down = False
        broker.put("ai.dead", b"garbage")
        letters.turn()
        assert {reason: counted("ai", reason) - count for reason, count in before.items()} == {
            "delivery_limit": 1,
            "unreadable": 1,
        }


def counted(queue: str, reason: str) -> float:
    return REGISTRY.get_sample_value("procos_bridge_dead_letters_total", {"queue": queue, "reason": reason}) or 0.0
