"""A store that hangs holds up the steps with files, and nobody else: not their queue, and not the end of the bridge."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge import porters
from bridge.budget import Budget
from bridge.heartbeats import Heartbeats
from bridge.poller import Poller
from bridge.unclaimed import Unclaimed
from bridge.undispatched import PUT_OFF
from procos import metrics
from procos.blobs import BlobStore
from procos.caps import Cap
from procos.ledger_keys import State
from procos.testing import InstantStop, typed
from procos.testing.samples import HOLDER
from tests.unit.bridge.files_lab import LEASE, SCAN, SECONDS, FilesLab, HangingStore, given_back

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.domain.external_task import ExternalTaskId, Topic
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FrozenClock


class TestAStoreThatHangs:
    def test_holds_up_no_step_without_files(
        self, lab: FilesLab, engine: FakeEngine, hanging: HangingStore, step: Callable[[], ExternalTaskId]
    ) -> None:
        with_file, dispatcher = step(), lab.dispatcher()
        dispatcher.dispatch(lab.fetch())
        hanging.await_call()
        plain = [engine.add(variables=typed(n=n)) for n in range(3)]
        dispatcher.ready()
        dispatcher.dispatch(lab.fetch())
        assert lab.sent == plain
        assert dispatcher.has_in_hand(with_file)

        hanging.let_go.set()
        assert dispatcher.await_files(SECONDS)
        assert lab.sent == [*plain, with_file]
        assert not dispatcher.has_in_hand(with_file)
        assert lab.store.read(lab.reference_of(with_file)) == SCAN

    def test_leaves_the_ledger_and_what_may_be_in_flight_to_others(
        self, lab: FilesLab, ledger: FakeLedger, hanging: HangingStore, step: Callable[[], ExternalTaskId]
    ) -> None:
        with_file, dispatcher = step(), lab.dispatcher()
        dispatcher.dispatch(lab.fetch())
        hanging.await_call()
        assert ledger.in_flight("ai") == 0
        hanging.let_go.set()
        assert dispatcher.await_files(SECONDS)
        assert ledger.entries[with_file].state is State.PUBLISHED

    def test_has_a_step_dispatched_once_though_it_was_fetched_again(
        self, lab: FilesLab, hanging: HangingStore, step: Callable[[], ExternalTaskId]
    ) -> None:
        with_file, dispatcher = step(), lab.dispatcher()
        fetched = lab.fetch()
        for _ in range(3):
            dispatcher.dispatch(fetched)
        hanging.await_call()
        hanging.let_go.set()
        assert dispatcher.await_files(SECONDS)
        assert lab.sent == [with_file]

    def test_that_another_bridge_could_reach_leaves_it_the_step(
        self, lab: FilesLab, engine: FakeEngine, hanging: HangingStore, step: Callable[[], ExternalTaskId],
        clock: FrozenClock,
    ) -> None:  # fmt: skip
        task_id, dispatcher = step(), lab.dispatcher()
        dispatcher.dispatch(lab.fetch())
        hanging.await_call()
        clock.advance(seconds=LEASE.total_seconds() + 1)
        engine.lock(task_id, "other/ai", LEASE)
        hanging.let_go.set()
        assert dispatcher.await_files(SECONDS)
        assert (lab.sent, engine.failures, engine.incidents) == ([], [], {})
        (held,) = engine.open_tasks()
        assert held.lease is not None
        assert held.lease.holder == "other/ai"

    def test_leaves_steps_that_find_no_room_as_they_were_for_a_while(
        self, lab: FilesLab, engine: FakeEngine, hanging: HangingStore, step: Callable[[], ExternalTaskId],
        monkeypatch: pytest.MonkeyPatch, clock: FrozenClock,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(porters, "AT_ONCE", 1)
        monkeypatch.setattr(porters, "MOST_WAITING", 2)
        monkeypatch.setattr(porters, "PATIENCE_SECONDS", 0.01)
        first, dispatcher = step(), lab.dispatcher()
        dispatcher.dispatch(lab.fetch())
        hanging.await_call()
        others = [step() for _ in range(4)]
        dispatcher.dispatch(lab.fetch())
        assert [failure.external_task_id for failure in engine.failures] == others[2:]
        assert {(failure.retries, failure.retry_in) for failure in engine.failures} == {(3, PUT_OFF)}
        assert "no thread is free for them" in engine.failures[0].message

        hanging.let_go.set()
        assert dispatcher.await_files(SECONDS)
        monkeypatch.setattr(porters, "PATIENCE_SECONDS", SECONDS)
        clock.advance(seconds=PUT_OFF.total_seconds() + 1)
        dispatcher.dispatch(lab.fetch())
        assert dispatcher.await_files(SECONDS)
        assert sorted(lab.sent) == [first, *others]

    def test_does_not_keep_the_bridge_from_ending(
        self, lab: FilesLab, engine: FakeEngine, hanging: HangingStore, step: Callable[[], ExternalTaskId],
        monkeypatch: pytest.MonkeyPatch, ledger: FakeLedger, table: Mapping[Topic, Route],
    ) -> None:  # fmt: skip
        monkeypatch.setattr(porters, "AT_ONCE", 1)
        monkeypatch.setattr("bridge.poller.FILES_END_SECONDS", 0.01)
        hung, waiting = step(), step()
        budget, before = Budget(ledger, "ai", capacity=100, least=100), given_back()
        poller = Poller(engine, lab.dispatcher(), table, budget, holder=HOLDER, lock_duration=LEASE, wait=timedelta(0))
        thread = threading.Thread(target=poller.run, args=(lab.stop,))
        thread.start()
        hanging.await_call()
        lab.stop.set()
        thread.join(SECONDS)
        assert not thread.is_alive()
        assert {task.id: task.lease is None for task in engine.open_tasks()} == {hung: False, waiting: True}
        assert given_back() == before + 1

    def test_has_a_bridge_that_ends_take_no_more_steps(
        self, lab: FilesLab, engine: FakeEngine, step: Callable[[], ExternalTaskId]
    ) -> None:
        step()
        fetched, dispatcher = lab.fetch(), lab.dispatcher()
        lab.stop.set()
        assert dispatcher.await_files(SECONDS, ending=True)
        dispatcher.dispatch(fetched)
        assert [task.lease for task in engine.open_tasks()] == [None]
        assert (engine.failures, engine.calls.count("content")) == ([], 0)


class TestCap:
    """One step of a topic at once: the next is not fetched while the files of the first are on their way."""

    @pytest.fixture
    def poller(self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger, table: Mapping[Topic, Route]) -> Poller:
        cap = Cap(name="topic.ai_query", at_once=1, queues=("ai",))
        ledger.caps = dict.fromkeys(table, (cap,))
        return Poller(
            engine, lab.dispatcher(), table, Budget(ledger, "ai", capacity=100, least=100), holder=HOLDER, caps=[cap],
            lock_duration=LEASE, wait=timedelta(0), clock=lambda: 0.0,
        )  # fmt: skip

    def test_has_the_files_of_each_step_brought_once(
        self, poller: Poller, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger, hanging: HangingStore,
        step: Callable[[], ExternalTaskId],
    ) -> None:  # fmt: skip
        ids = [step() for _ in range(3)]
        for task_id in ids:
            for _ in range(3):
                poller.turn(InstantStop())
            hanging.await_call()
            hanging.let_go.set()
            assert poller._dispatcher.await_files(SECONDS)
            hanging.let_go.clear()
            poller.fetch_now()
            engine.complete(task_id, HOLDER, {})
            ledger.close(lab.publisher.published[-1].dispatch.ref, "ai", "completed")
        assert lab.sent == ids
        assert engine.calls.count("content") == 3

    def test_is_not_used_up_for_ever_by_a_step_whose_store_hangs(
        self, poller: Poller, engine: FakeEngine, hanging: HangingStore, lab: FilesLab, clock: FrozenClock,
        step: Callable[[], ExternalTaskId],
    ) -> None:  # fmt: skip
        step()
        poller.turn(InstantStop())
        hanging.await_call()
        plain = engine.add("narrow", priority=5)
        poller.turn(InstantStop())
        assert lab.sent == []
        clock.advance(seconds=LEASE.total_seconds() + 1)
        poller.turn(InstantStop())
        assert lab.sent == [plain]


class TestABridgeThatDiesMeanwhile:
    def test_leaves_an_orphan_which_the_next_one_dispatches(
        self,
        lab: FilesLab,
        engine: FakeEngine,
        ledger: FakeLedger,
        hanging: HangingStore,
        step: Callable[[], ExternalTaskId],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        task_id, first = step(), lab.dispatcher()
        first.dispatch(lab.fetch())
        hanging.await_call()
        assert unclaimed(engine, ledger, first.has_in_hand).held_by(HOLDER) == []

        after = unclaimed(engine, ledger, lambda _: False)
        assert [task.id for task in after.held_by(HOLDER)] == [task_id]
        after.release([task_id])
        monkeypatch.setattr(BlobStore, "put", hanging.put)
        lab.dispatch()
        assert lab.sent == [task_id]
        assert lab.store.read(lab.reference_of(task_id)) == SCAN

        hanging.let_go.set()  # had it not died after all
        assert first.await_files(SECONDS)
        assert lab.sent == [task_id]


def unclaimed(engine: FakeEngine, ledger: FakeLedger, has_in_hand: Callable[[ExternalTaskId], bool]) -> Unclaimed:
    return Unclaimed(engine, ledger, has_in_hand=has_in_hand, lock_duration=LEASE)


class TestPorters:
    def test_go_on_after_an_error_nobody_foresaw(self, lab: FilesLab, engine: FakeEngine) -> None:
        for n in range(3):
            engine.add(variables=typed(n=n))
        tasks, brought = list(lab.fetch()), []

        def bring(task: Any) -> None:
            brought.append(task.id)
            if task is tasks[0]:
                raise ZeroDivisionError

        crew = porters.Porters(bring, Heartbeats(), name="files-ai", within=LEASE)
        assert crew.take(tasks) == []
        assert crew.join(SECONDS)
        assert sorted(brought) == [task.id for task in tasks]

    def test_leave_steps_to_be_put_off_on_a_machine_that_has_no_thread_for_them(
        self, lab: FilesLab, engine: FakeEngine, step: Callable[[], ExternalTaskId], monkeypatch: pytest.MonkeyPatch,
        clock: FrozenClock,
    ) -> None:  # fmt: skip
        ids, dispatcher = [step() for _ in range(porters.AT_ONCE + 1)], lab.dispatcher()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            dispatcher.dispatch(lab.fetch())
        assert [failure.external_task_id for failure in engine.failures] == ids
        assert not any(dispatcher.has_in_hand(task_id) for task_id in ids)

        clock.advance(seconds=PUT_OFF.total_seconds() + 1)
        dispatcher.dispatch(lab.fetch())
        assert dispatcher.await_files(SECONDS)
        assert sorted(lab.sent) == ids

    def test_wait_a_little_for_room_which_a_store_that_works_makes(
        self, lab: FilesLab, step: Callable[[], ExternalTaskId], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(porters, "MOST_WAITING", 1)
        monkeypatch.setattr(porters, "PATIENCE_SECONDS", SECONDS)
        ids, dispatcher = [step() for _ in range(8)], lab.dispatcher()
        dispatcher.dispatch(lab.fetch())
        assert dispatcher.await_files(SECONDS)
        assert sorted(lab.sent) == ids

    def test_counts_what_was_fetched_again_as_adopted(
        self, lab: FilesLab, hanging: HangingStore, step: Callable[[], ExternalTaskId]
    ) -> None:
        step()
        (task,), before = lab.fetch(), adopted()
        dispatcher = lab.dispatcher()
        dispatcher.dispatch([task])
        dispatcher.dispatch([task])
        assert adopted() == before + 1
        hanging.let_go.set()
        assert dispatcher.await_files(SECONDS)


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")  # as the interpreter says it


def adopted() -> float:
    samples = [sample for family in metrics.DROPPED.collect() for sample in family.samples]
    return sum(s.value for s in samples if s.name.endswith("_total") and s.labels["reason"] == metrics.Drop.ADOPTED)
