"""A thread that hangs over a file keeps neither its step nor the next ones; when all of them hang, a restart is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge import porters
from bridge.heartbeats import Heartbeats
from bridge.undispatched import PUT_OFF
from procos.blobs import BlobStore
from procos.domain.errors import BlobsUnreachableError, PermanentError
from procos.ledger_keys import State
from procos.testing import typed
from tests.unit.bridge.files_lab import LEASE, SECONDS, FilesLab, HangingStore, await_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from bridge.dispatcher import Dispatcher
    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.testing import FakeEngine, FakeLedger, FrozenClock


def away(*_: object, **__: object) -> None:
    raise BlobsUnreachableError("memory://", "away")


def too_large(*_: object, **__: object) -> None:
    raise PermanentError("too large", code="BLOB_TOO_LARGE")


def unforeseen(*_: object, **__: object) -> None:
    raise MemoryError


class TestAThreadThatHangs:
    """There are others. The step it hangs over is fetched again, since its lock has run out."""

    @pytest.fixture
    def dispatcher(
        self, lab: FilesLab, hanging: HangingStore, step: Callable[[], ExternalTaskId], clock: FrozenClock
    ) -> Dispatcher:
        dispatcher = lab.dispatcher()
        step()
        dispatcher.dispatch(lab.fetch())
        hanging.await_call()
        clock.advance(seconds=LEASE.total_seconds() + 1)
        dispatcher.dispatch(lab.fetch())
        return dispatcher

    def test_has_its_step_put_off_with_the_cause_in_cockpit(self, dispatcher: Dispatcher, engine: FakeEngine) -> None:
        (failure,) = engine.failures
        assert (failure.external_task_id, failure.retries, failure.retry_in) == ("task-1", 3, PUT_OFF)
        assert "a thread has hung over them for a whole lock; restarting the bridge frees it" in failure.message
        assert not dispatcher.has_in_hand(engine.open_tasks()[0].id)

    def test_leaves_it_to_another_thread(
        self, dispatcher: Dispatcher, lab: FilesLab, hanging: HangingStore, monkeypatch: pytest.MonkeyPatch,
        clock: FrozenClock,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(BlobStore, "put", hanging.put)
        clock.advance(seconds=PUT_OFF.total_seconds() + 1)
        dispatcher.dispatch(lab.fetch())
        assert dispatcher.await_files(SECONDS)
        assert lab.sent == ["task-1"]

    @pytest.mark.parametrize("end", [None, away, too_large, unforeseen])
    def test_does_nothing_to_a_step_that_is_under_way_by_now_however_it_ends(
        self, dispatcher: Dispatcher, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger, hanging: HangingStore,
        end: Callable[..., None] | None, monkeypatch: pytest.MonkeyPatch, clock: FrozenClock,
    ) -> None:  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(BlobStore, "put", hanging.put)
            clock.advance(seconds=PUT_OFF.total_seconds() + 1)
            dispatcher.dispatch(lab.fetch())
            assert dispatcher.await_files(SECONDS)
        hanging.put = end or hanging.put
        hanging.let_go.set()
        await_threads()
        assert lab.sent == ["task-1"]
        assert [failure.retries for failure in engine.failures] == [3]  # when it was put off
        assert [entry.state for entry in ledger.entries.values()] == [State.PUBLISHED]

    def test_does_not_dispatch_a_step_it_has_lost_while_it_waited_for_its_turn(
        self, lab: FilesLab, engine: FakeEngine, step: Callable[[], ExternalTaskId], clock: FrozenClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        step()
        (task,), dispatcher, lock = lab.fetch(), lab.dispatcher(), engine.lock

        def lock_and_lose(external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
            lock(external_task_id, holder, duration)
            if engine.calls.count("lock") == 2:  # its file is in the store
                clock.advance(seconds=LEASE.total_seconds() + 1)
                assert dispatcher._porters.take_away([task]) == {task.id}

        monkeypatch.setattr(engine, "lock", lock_and_lose)
        dispatcher.dispatch([task])
        await_threads()
        assert engine.calls.count("lock") == 2
        assert lab.sent == []


class TestAStoreThatHangsInEveryThread:
    """There is one thread, a step hangs in it, and another waits for it, for longer than a lock."""

    @pytest.fixture
    def heartbeats(self, clock: FrozenClock) -> Heartbeats:
        return Heartbeats(clock=lambda: clock.now().timestamp())

    @pytest.fixture
    def dispatcher(
        self, lab: FilesLab, heartbeats: Heartbeats, hanging: HangingStore, step: Callable[[], ExternalTaskId],
        monkeypatch: pytest.MonkeyPatch, clock: FrozenClock,
    ) -> Dispatcher:  # fmt: skip
        monkeypatch.setattr(porters, "AT_ONCE", 1)
        dispatcher = lab.dispatcher(heartbeats=heartbeats)
        for _ in ("hangs", "waits"):
            step()
        dispatcher.dispatch(lab.fetch())
        hanging.await_call()
        assert heartbeats.late() == {}
        clock.advance(seconds=LEASE.total_seconds() + 1)
        return dispatcher

    def test_is_told_by_the_health_server_until_it_works_again(
        self, dispatcher: Dispatcher, heartbeats: Heartbeats, hanging: HangingStore
    ) -> None:
        assert list(heartbeats.late()) == ["files-ai"]
        hanging.let_go.set()
        assert dispatcher.await_files(SECONDS)
        assert heartbeats.late() == {}

    def test_leaves_all_steps_to_a_bridge_that_may_reach_it(
        self, dispatcher: Dispatcher, lab: FilesLab, engine: FakeEngine, hanging: HangingStore, clock: FrozenClock,
        step: Callable[[], ExternalTaskId],
    ) -> None:  # fmt: skip
        step()
        dispatcher.dispatch(lab.fetch())
        assert [failure.external_task_id for failure in engine.failures] == ["task-1", "task-2", "task-3"]
        clock.advance(seconds=PUT_OFF.total_seconds() + 1)
        for task in engine.open_tasks():
            engine.lock(task.id, "other/ai", LEASE)
        hanging.let_go.set()
        assert dispatcher.await_files(SECONDS)
        assert lab.sent == []

    def test_leaves_what_waits_to_others_though_no_step_with_files_comes(
        self, dispatcher: Dispatcher, engine: FakeEngine, fetch: Callable[..., ExternalTask]
    ) -> None:
        engine.add("narrow", variables=typed(wanted=1))
        dispatcher.dispatch([fetch("narrow")])
        assert [failure.external_task_id for failure in engine.failures] == ["task-2"]
