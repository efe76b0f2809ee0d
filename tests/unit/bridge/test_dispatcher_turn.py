"""A batch that comes while another is being published waits for its turn, but not for longer than its locks allow."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge import dispatcher as dispatching
from bridge.dispatcher import Dispatcher
from bridge.incoming_files import IncomingFiles
from procos import metrics
from procos.domain.external_task import Topic
from procos.testing import RecordingPublisher
from tests.unit.bridge.files_lab import FilesLab, file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FrozenClock, InstantStop

LEASE = timedelta(seconds=20)


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


def given_back() -> float:
    samples = [sample for family in metrics.DROPPED.collect() for sample in family.samples]
    return sum(s.value for s in samples if s.name.endswith("_total") and s.labels["reason"] == metrics.Drop.GIVEN_BACK)


class TestTurn:
    """Another batch of the queue is being published while this one comes; with each beat `waited` seconds pass."""

    @pytest.fixture
    def dispatch_late(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        publisher: RecordingPublisher,
        table: Mapping[Topic, Route],
        stop: InstantStop,
        clock: FrozenClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Callable[..., None]:
        monkeypatch.setattr(dispatching, "BEAT_SECONDS", 0.001)

        def dispatch(fetched: Sequence[ExternalTask], *, waited: float, beats: int = 1) -> None:
            left = iter(range(beats))

            def beat() -> None:
                assert all(late.has_in_hand(task.id) for task in fetched)
                if (number := next(left, None)) is not None:
                    clock.advance(seconds=waited)
                if number == beats - 1:
                    late._turn.release()

            late = Dispatcher(
                engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=stop, beat=beat,
                clock=lambda: clock.now().timestamp(),
            )  # fmt: skip
            late._turn.acquire()
            late.dispatch(fetched)
            assert next(left, None) is None
            assert not late._turn.locked()
            assert not any(late.has_in_hand(task.id) for task in fetched)

        return dispatch

    def test_is_awaited_with_beats_and_with_the_batch_in_hand(
        self,
        dispatch_late: Callable[..., None],
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
    ) -> None:
        engine.add()
        dispatch_late([fetch()], waited=2, beats=5)
        assert len(publisher.published) == 1

    def test_that_comes_after_half_of_the_lock_has_the_batch_given_back(
        self,
        dispatch_late: Callable[..., None],
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
        ledger: FakeLedger,
    ) -> None:
        task_id = engine.add()
        before = given_back()
        dispatch_late([fetch()], waited=11)
        assert engine.find(task_id).lease is None
        assert (publisher.batches, ledger.entries) == ([], {})
        assert given_back() == before + 1

    def test_that_comes_after_the_lock_has_run_out_leaves_alone_what_others_may_hold(
        self,
        dispatch_late: Callable[..., None],
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
    ) -> None:
        engine.add()
        dispatch_late([fetch()], waited=21)
        assert publisher.batches == []
        assert "unlock" not in engine.calls

    def test_is_soon_enough_by_the_lock_of_each_route(
        self,
        dispatch_late: Callable[..., None],
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
        table: dict[Topic, Route],
    ) -> None:
        narrow = Topic("narrow")
        table[narrow] = replace(table[narrow], lock_duration=timedelta(seconds=60))
        for topic in table:
            engine.add(topic)
        dispatch_late([fetch("ai_query"), fetch("narrow")], waited=15)
        assert [p.dispatch.ref.topic for p in publisher.published] == ["narrow"]


class TestTurnOfAStepWithFiles:
    """Its files are in the store, and another batch of the queue has the turn until `waited` seconds have passed."""

    @pytest.fixture
    def bring_late(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        clock: FrozenClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Callable[..., FilesLab]:
        lab, kept = FilesLab(engine, ledger, table), IncomingFiles.kept
        monkeypatch.setattr(dispatching, "BEAT_SECONDS", 0.001)

        def bring(*, waited: float, meanwhile: Callable[[ExternalTaskId], None] = lambda _: None) -> FilesLab:
            late, first = lab.dispatcher(), iter([True])

            def keep(files: IncomingFiles, task: ExternalTask, *given: Any) -> ExternalTask | None:
                late._turn.acquire()
                return kept(files, task, *given)

            def beat() -> None:
                if next(first, False):
                    clock.advance(seconds=waited)
                    meanwhile(task_id)
                    late._turn.release()

            monkeypatch.setattr(IncomingFiles, "kept", keep)
            task_id = engine.add(variables={"scan": file()})
            fetched = lab.fetch()
            late._beat = beat
            late.dispatch(fetched)
            assert late.await_files(10)
            return lab

        return bring

    def test_that_comes_soon_has_it_dispatched(self, bring_late: Callable[..., FilesLab]) -> None:
        assert len(bring_late(waited=9).sent) == 1

    def test_that_comes_after_half_of_the_lock_has_it_given_back(
        self, bring_late: Callable[..., FilesLab], engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        assert bring_late(waited=11).sent == []
        assert [task.lease for task in engine.open_tasks()] == [None]
        assert ledger.entries == {}

    def test_that_comes_when_another_bridge_has_finished_it_publishes_nothing(
        self, bring_late: Callable[..., FilesLab], engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        def finish(task_id: ExternalTaskId) -> None:
            engine.lock(task_id, "other/ai", LEASE)
            engine.complete(task_id, "other/ai", {})

        assert bring_late(waited=61, meanwhile=finish).sent == []
        assert ledger.entries == {}
