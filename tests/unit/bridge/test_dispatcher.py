"""From a fetched batch to the broker: once each, and never lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.dispatcher import Dispatcher
from bridge.publisher import Receipt
from procos.caps import Cap
from procos.domain.errors import (
    BrokerUnreachableError,
    EngineUnreachableError,
    LedgerUnreachableError,
    PublishRefusedError,
)
from procos.domain.external_task import Topic
from procos.domain.variables import TypedValue
from procos.engine.subscription import Subscription
from procos.ledger_keys import State
from procos.testing import InstantStop, RecordingPublisher, typed
from procos.testing.samples import HOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.publisher import Publication
    from procos.domain.external_task import ExternalTask
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

LEASE = timedelta(seconds=20)


class LedgerGoesAway(RecordingPublisher):
    def __init__(self, ledger: FakeLedger, *receipts: Receipt) -> None:
        super().__init__(*receipts)
        self._ledger = ledger

    def publish(self, publications: Sequence[Publication]) -> Sequence[Receipt]:
        self._ledger.is_down = True
        return super().publish(publications)


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


@pytest.fixture
def dispatcher(
    engine: FakeEngine,
    ledger: FakeLedger,
    publisher: RecordingPublisher,
    table: Mapping[Topic, Route],
    stop: InstantStop,
) -> Dispatcher:
    return Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop)


class TestDispatcher:
    def test_publishes_under_an_id_made_of_external_task_and_token(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
    ) -> None:
        engine.add(variables=typed(user_query="hi"), business_key="order 1")
        task = fetch()
        dispatcher.dispatch([task])
        (publication,) = publisher.published
        assert task.lease is not None
        assert publication.dispatch.ref.celery_id == f"{task.id}.{task.lease.token}"
        assert publication.dispatch.variables == {"user_query": "hi"}
        assert publication.dispatch.business_key == "order 1"

    def test_gives_back_at_once_what_has_no_place_under_its_cap(
        self, dispatcher: Dispatcher, engine: FakeEngine, ledger: FakeLedger, publisher: RecordingPublisher
    ) -> None:
        ledger.caps = {Topic("ai_query"): (Cap(name="topic.ai_query", at_once=2, queues=("ai",)),)}
        for _ in range(3):
            engine.add()
        subscription = Subscription(topic=Topic("ai_query"), lock_duration=LEASE)
        dispatcher.dispatch(engine.fetch_and_lock(HOLDER, [subscription], max_tasks=3, wait=timedelta(0)))
        assert [p.dispatch.ref.external_task_id for p in publisher.published] == ["task-1", "task-2"]
        assert [task.id for task in engine.open_tasks() if task.lease is None] == ["task-3"]

    def test_is_ready_when_its_publisher_is(
        self, dispatcher: Dispatcher, publisher: RecordingPublisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dispatcher.ready()

        def refuse() -> None:
            raise BrokerUnreachableError("broker", "connection refused")

        monkeypatch.setattr(publisher, "ready", refuse)
        for _ in range(2):  # and lets go of its turn
            with pytest.raises(BrokerUnreachableError):
                dispatcher.ready()

    def test_enters_it_before_and_notes_it_after(
        self, dispatcher: Dispatcher, engine: FakeEngine, fetch: Callable[..., ExternalTask], ledger: FakeLedger
    ) -> None:
        task_id = engine.add()
        dispatcher.dispatch([fetch()])
        assert ledger.entries[task_id].state is State.PUBLISHED
        assert ledger.in_flight("ai") == 1

    def test_publishes_nothing_without_the_ledger(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        ledger: FakeLedger,
        publisher: RecordingPublisher,
    ) -> None:
        engine.add()
        ledger.is_down = True
        with pytest.raises(LedgerUnreachableError):
            dispatcher.dispatch([fetch()])
        assert publisher.batches == []

    @pytest.mark.parametrize("state", [State.PUBLISHED, State.STARTED, State.REPORTING])
    def test_adopts_what_is_under_way(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        ledger: FakeLedger,
        publisher: RecordingPublisher,
        clock: FrozenClock,
        state: State,
    ) -> None:
        task_id = engine.add()
        dispatcher.dispatch([fetch()])
        token = ledger.entries[task_id].token
        ledger.entries[task_id].state = state
        clock.advance(seconds=60)
        dispatcher.dispatch([fetch(holder="other/ai")])
        assert len(publisher.published) == 1
        assert (ledger.entries[task_id].token, ledger.entries[task_id].holder) == (token, "other/ai")

    def test_publishes_again_under_the_same_id_what_was_only_reserved(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        ledger: FakeLedger,
        publisher: RecordingPublisher,
        clock: FrozenClock,
    ) -> None:
        task_id = engine.add()
        dispatcher.dispatch([fetch()])
        ledger.entries[task_id].state = State.RESERVED
        clock.advance(seconds=60)
        dispatcher.dispatch([fetch()])
        assert len(publisher.celery_ids) == 2
        assert len(set(publisher.celery_ids)) == 1

    def test_gives_a_step_that_backed_off_a_new_id(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        ledger: FakeLedger,
        publisher: RecordingPublisher,
        clock: FrozenClock,
    ) -> None:
        task_id = engine.add()
        dispatcher.dispatch([fetch()])
        ledger.entries[task_id].state = State.BACKING_OFF
        clock.advance(seconds=60)
        dispatcher.dispatch([fetch()])
        assert len(set(publisher.celery_ids)) == 2


class TestReceipts:
    def test_refused_is_given_back_to_the_engine(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        fetch: Callable[..., ExternalTask],
        stop: InstantStop,
    ) -> None:
        task_id = engine.add()
        publisher = RecordingPublisher(Receipt.REFUSED)
        with pytest.raises(PublishRefusedError):
            Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop).dispatch([fetch()])
        assert engine.find(task_id).lease is None
        assert task_id not in ledger.entries
        assert ledger.in_flight("ai") == 0

    def test_refused_is_forgotten_even_if_the_engine_is_down(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        fetch: Callable[..., ExternalTask],
        stop: InstantStop,
    ) -> None:
        engine.add()
        fetched = fetch()
        engine.refuse_next(EngineUnreachableError("engine", "gone"))
        publisher = RecordingPublisher(Receipt.REFUSED)
        with pytest.raises(PublishRefusedError):
            Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop).dispatch([fetched])
        assert ledger.in_flight("ai") == 0

    def test_unknown_is_published_again_until_it_is_known(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        fetch: Callable[..., ExternalTask],
        stop: InstantStop,
    ) -> None:
        task_id = engine.add()
        publisher = RecordingPublisher(*[Receipt.UNKNOWN] * 7)
        Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop).dispatch([fetch()])
        assert len(publisher.celery_ids) == 8
        assert len(set(publisher.celery_ids)) == 1
        assert stop.waits == [0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
        assert ledger.entries[task_id].state is State.PUBLISHED

    def test_unknown_when_stopping_stays_reserved_so_that_it_is_offered_again(
        self, engine: FakeEngine, ledger: FakeLedger, table: Mapping[Topic, Route], fetch: Callable[..., ExternalTask]
    ) -> None:
        task_id = engine.add()
        publisher = RecordingPublisher(*[Receipt.UNKNOWN] * 9)
        stop = InstantStop(after=1)
        Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop).dispatch([fetch()])
        assert len(publisher.batches) == 1
        assert ledger.entries[task_id].state is State.RESERVED

    def test_too_large_is_an_incident_that_names_size_and_cure_and_stops_nobody_else(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        fetch: Callable[..., ExternalTask],
        stop: InstantStop,
    ) -> None:
        bad, good = engine.add(variables=typed(n=1, user_query="щ" * 100)), engine.add()
        publisher = RecordingPublisher(*[Receipt.UNKNOWN] * 2, Receipt.TOO_LARGE)
        Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop).dispatch([fetch(), fetch()])
        assert engine.incidents.keys() == {bad}
        assert "'user_query': 602 bytes as it travels, 603 with the others" in engine.incidents[bad]
        assert "max_message_size" in engine.incidents[bad]
        assert "PROCOS_BLOBS_URL" in engine.incidents[bad]
        assert {task_id: entry.state for task_id, entry in ledger.entries.items()} == {good: State.PUBLISHED}
        assert ledger.in_flight("ai") == 1

    def test_all_but_confirmed_is_unlocked_when_the_ledger_goes_away_after_the_confirm(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        fetch: Callable[..., ExternalTask],
        stop: InstantStop,
    ) -> None:
        batch = [fetch() for _ in range(3) if engine.add()]
        publisher = LedgerGoesAway(ledger, Receipt.CONFIRMED, Receipt.REFUSED, Receipt.UNKNOWN)
        with pytest.raises(LedgerUnreachableError):
            Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop).dispatch(batch)
        assert [engine.find(task.id).lease is None for task in batch] == [False, True, True]
        assert {ledger.entries[task.id].state for task in batch} == {State.RESERVED}

    @pytest.mark.parametrize("receipt", [Receipt.REFUSED, Receipt.TOO_LARGE])
    def test_refused_is_unlocked_though_the_ledger_cannot_forget_it(
        self,
        receipt: Receipt,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        fetch: Callable[..., ExternalTask],
        stop: InstantStop,
    ) -> None:
        task_id = engine.add()
        publisher = LedgerGoesAway(ledger, receipt)
        with pytest.raises(LedgerUnreachableError):
            Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop).dispatch([fetch()])
        assert engine.find(task_id).lease is None
        assert engine.incidents == {}


class TestRefusal:
    def test_of_an_unknown_topic_is_an_incident_that_names_it_and_the_known_ones(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
    ) -> None:
        task_id = engine.add("mystery")
        dispatcher.dispatch([fetch("mystery")])
        assert engine.incidents[task_id] == "no route serves topic 'mystery'; known topics: ai_query, narrow"
        assert publisher.batches == [] or publisher.published == []

    @pytest.mark.parametrize(
        "value",
        [
            TypedValue(type="Json", value="{broken"),
            TypedValue(type="Json", value="[" * 50_000),
            TypedValue(type="File", value=""),
        ],
        ids=["broken", "deep", "file"],
    )
    def test_of_a_variable_is_an_incident_that_names_it_and_stops_nobody_else(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
        value: TypedValue,
    ) -> None:
        bad = engine.add("narrow", variables={"wanted": value})
        first = fetch("narrow")
        engine.add("narrow", variables=typed(wanted=1))
        dispatcher.dispatch([first, fetch("narrow")])
        assert "'wanted'" in engine.incidents[bad]
        assert len(publisher.published) == 1

    def test_leaves_out_what_no_route_asked_for_and_cannot_be_carried(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
    ) -> None:
        engine.add(variables={"scan": TypedValue(type="File", value=""), **typed(n=1)})
        dispatcher.dispatch([fetch()])
        assert publisher.published[0].dispatch.variables == {"n": 1}

    def test_that_cannot_be_reported_now_is_left_to_the_next_fetch(
        self, dispatcher: Dispatcher, engine: FakeEngine, fetch: Callable[..., ExternalTask]
    ) -> None:
        task_id = engine.add("mystery")
        fetched = fetch("mystery")
        engine.refuse_next(EngineUnreachableError("engine", "gone"))
        dispatcher.dispatch([fetched])
        assert task_id not in engine.incidents


class TestSize:
    def test_of_too_much_ends_in_an_incident_that_names_the_largest_variable(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        fetch: Callable[..., ExternalTask],
        stop: InstantStop,
    ) -> None:
        engine.add(
            variables={"small": TypedValue(type="String", value="x"), "big": TypedValue(type="Json", value="[1]" * 99)}
        )
        publisher = RecordingPublisher()
        dispatcher = Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, largest_input=100, stop=stop)
        dispatcher.dispatch([fetch()])
        assert engine.failures[0].retries == 0
        assert "variable 'big'" in engine.failures[0].message
        assert publisher.batches == []
