"""Steps that ended without us are found, and whoever works for them is told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.watcher import TURNS_FOR_ALL, Watcher
from procos.domain.errors import TaskGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procos.domain.dispatch import DispatchRef
    from procos.testing import FakeEngine, FakeLedger


class RecordingRevoker:
    def __init__(self) -> None:
        self.revoked: list[str] = []

    def revoke(self, celery_ids: Sequence[str]) -> None:
        self.revoked.extend(celery_ids)


@pytest.fixture
def revoker() -> RecordingRevoker:
    return RecordingRevoker()


@pytest.fixture
def watcher(engine: FakeEngine, ledger: FakeLedger, revoker: RecordingRevoker) -> Watcher:
    return Watcher(engine, ledger, revoker, ["ai"], lock_duration=timedelta(seconds=20))


@pytest.fixture
def started(
    engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
) -> Callable[..., DispatchRef]:
    def start_one() -> DispatchRef:
        engine.add()
        ref = in_flight()
        ledger.mark_started(ref, "ai@host")
        return ref

    return start_one


class TestWatcher:
    def test_cancels_a_started_step_that_was_gone_twice(
        self,
        watcher: Watcher,
        engine: FakeEngine,
        ledger: FakeLedger,
        revoker: RecordingRevoker,
        started: Callable[..., DispatchRef],
    ) -> None:
        ref = started()
        engine.cancel(ref.external_task_id)
        watcher.turn()
        assert not ledger.cancelled
        watcher.turn()
        assert ledger.cancelled == {ref.external_task_id: ref.token}
        assert (ledger.in_flight("ai"), revoker.revoked) == (0, [ref.celery_id])
        assert ledger.mark_alive(ref, "ai@host")

    def test_settles_a_completed_step_that_a_bridge_had_no_time_to_settle(
        self, watcher: Watcher, engine: FakeEngine, ledger: FakeLedger, started: Callable[..., DispatchRef]
    ) -> None:
        ref = started()
        engine.complete(ref.external_task_id, ref.holder, {})
        watcher.turn()
        watcher.turn()
        assert (ledger.closed[ref.external_task_id], ledger.cancelled) == ("completed", {})
        assert ledger.in_flight("ai") == 0

    def test_leaves_a_step_alone_that_was_being_reported(
        self, watcher: Watcher, engine: FakeEngine, ledger: FakeLedger, started: Callable[..., DispatchRef]
    ) -> None:
        ref = started()
        engine.cancel(ref.external_task_id)
        watcher.turn()
        ledger.close(ref, "ai", "completed")
        watcher.turn()
        assert not ledger.cancelled

    def test_asks_for_what_is_not_started_less_often(
        self, watcher: Watcher, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        watcher.turn()
        engine.cancel(ref.external_task_id)
        for _ in range(TURNS_FOR_ALL - 1):
            watcher.turn()
        assert engine.calls.count("which_exist") == 1
        watcher.turn()
        watcher.turn()
        assert ref.external_task_id in ledger.cancelled

    def test_believes_a_command_more_than_a_question(
        self,
        watcher: Watcher,
        engine: FakeEngine,
        ledger: FakeLedger,
        started: Callable[..., DispatchRef],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Without the right to read, the engine answers as if nothing were there."""

        def hidden(_: object) -> None:
            raise TaskGoneError("External task with id task-1 does not exist", status=404)

        started()
        monkeypatch.setattr(engine, "which_exist", lambda _: frozenset())
        monkeypatch.setattr(engine, "find", hidden)
        watcher.turn()
        watcher.turn()
        assert not ledger.cancelled

    def test_asks_nothing_while_nothing_is_in_flight(self, watcher: Watcher, engine: FakeEngine) -> None:
        watcher.turn()
        assert engine.calls == []

    def test_revokes_nothing_whose_celery_id_is_not_known(
        self,
        watcher: Watcher,
        engine: FakeEngine,
        ledger: FakeLedger,
        revoker: RecordingRevoker,
        started: Callable[..., DispatchRef],
    ) -> None:
        ref = started()
        ledger.entries[ref.external_task_id].token = 0
        engine.cancel(ref.external_task_id)
        watcher.turn()
        watcher.turn()
        assert (len(ledger.cancelled), revoker.revoked) == (1, [])
