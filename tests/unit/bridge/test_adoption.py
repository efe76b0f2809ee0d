"""A step that is under way and is fetched again goes on, whatever its files, its model or the store say by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bridge.ledger_values import Known
from bridge.model_constants import ModelConstants
from procos.blobs import BlobStore
from procos.domain.errors import BlobsUnreachableError, EngineBusyError, LedgerUnreachableError
from procos.domain.external_task import Token
from procos.ledger_keys import State
from procos.settings import BlobSettings
from procos.testing import typed
from tests.unit.bridge.files_lab import LEASE, FilesLab, file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.external_task import ExternalTask, Topic
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

NAMED = "Bearer {{secrets.CRM_TOKEN}}"


def away(*_: object, **__: object) -> None:
    raise BlobsUnreachableError("memory://", "away")


def busy(_: ExternalTask) -> Mapping[str, str]:
    raise EngineBusyError("busy")


@pytest.fixture
def lab(engine: FakeEngine, ledger: FakeLedger, table: Mapping[Topic, Route]) -> FilesLab:
    return FilesLab(engine, ledger, table)


@pytest.fixture(params=[State.PUBLISHED, State.STARTED, State.REPORTING])
def state(request: pytest.FixtureRequest) -> State:
    return State(request.param)


class TestAStepWithFiles:
    """It was dispatched, and its lock has run out."""

    @pytest.fixture(autouse=True)
    def step(self, lab: FilesLab, engine: FakeEngine, clock: FrozenClock) -> None:
        engine.add(variables={"scan": file()})
        lab.dispatch()
        clock.advance(seconds=LEASE.total_seconds() + 1)

    def test_is_not_failed_at_the_engine_while_the_store_is_away(
        self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch, state: State
    ) -> None:
        ledger.entries["task-1"].state = state
        monkeypatch.setattr(BlobStore, "put", away)
        lab.dispatch()
        assert (engine.failures, engine.incidents, lab.sent) == ([], {}, ["task-1"])
        assert ledger.entries["task-1"].state is state

    def test_has_nothing_brought(self, lab: FilesLab, engine: FakeEngine, state: State, ledger: FakeLedger) -> None:
        ledger.entries["task-1"].state = state
        lab.dispatch()
        assert engine.calls.count("content") == 1

    def test_is_no_incident_where_there_is_no_store_any_more(
        self, lab: FilesLab, engine: FakeEngine, clock: FrozenClock
    ) -> None:
        named = engine.add("narrow", variables={"wanted": file()})
        lab.dispatch(lab.fetch("narrow"))
        clock.advance(seconds=LEASE.total_seconds() + 1)
        lab.blobs = BlobSettings()
        lab.dispatch(lab.fetch("narrow"))
        assert (engine.incidents, lab.sent) == ({}, ["task-1", named])

    def test_is_no_incident_where_its_file_is_too_large_by_now(self, lab: FilesLab, engine: FakeEngine) -> None:
        lab.blobs = lab.blobs.model_copy(update={"largest": 4096})
        lab.dispatch()
        assert (engine.incidents, lab.sent) == ({}, ["task-1"])

    def test_is_dispatched_anew_where_the_engine_has_taken_a_failure_of_it(
        self, lab: FilesLab, engine: FakeEngine
    ) -> None:
        engine.set_retries(engine.open_tasks()[0].id, 1)
        lab.dispatch()
        assert len(set(lab.publisher.celery_ids)) == 2
        assert engine.calls.count("content") == 2

    def test_is_published_under_its_id_where_it_was_only_reserved(
        self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        ledger.entries["task-1"].state = State.RESERVED
        lab.dispatch()
        assert len(lab.sent) == 2
        assert len(set(lab.publisher.celery_ids)) == 1
        assert engine.calls.count("content") == 2

    def test_is_dispatched_with_its_files_where_it_failed_between_two_looks(
        self, lab: FilesLab, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = {ref: Known(state=State.STARTED, token=Token(1)) for ref in ledger.entries}
        monkeypatch.setattr(ledger, "known", lambda _: seen)
        ledger.entries["task-1"].state = State.BACKING_OFF
        lab.dispatch()
        assert len(lab.sent) == 2
        assert lab.publisher.published[1].dispatch.variables == lab.variables

    def test_is_offered_again_while_it_is_not_known_whether_it_is_under_way(
        self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        fetched = lab.fetch()
        ledger.is_down = True
        with pytest.raises(LedgerUnreachableError):
            lab.dispatch(fetched)
        assert [task.lease for task in engine.open_tasks()] == [None]
        assert engine.calls.count("content") == 1


class TestAStepThatCannotBeDispatchedAnyMore:
    """It was dispatched, its lock has run out, and the bridge has been started again meanwhile."""

    @pytest.fixture(
        params=[{"constants": ModelConstants({"ai_query"}, busy)}, {"largest_input": 10}],
        ids=["its model cannot be read", "it is too large"],
    )
    def now(
        self, request: pytest.FixtureRequest, lab: FilesLab, engine: FakeEngine, clock: FrozenClock
    ) -> Mapping[str, Any]:
        engine.add(variables=typed(token=NAMED))
        lab.dispatch()
        clock.advance(seconds=LEASE.total_seconds() + 1)
        options: Mapping[str, Any] = request.param
        return options

    def test_goes_on(
        self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger, state: State, now: Mapping[str, Any]
    ) -> None:
        ledger.entries["task-1"].state = state
        lab.dispatch(**now)
        assert (engine.failures, engine.incidents, lab.sent) == ([], {}, ["task-1"])

    def test_is_offered_again_while_the_ledger_is_away(
        self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger, now: Mapping[str, Any]
    ) -> None:
        fetched = lab.fetch()
        ledger.is_down = True
        lab.dispatch(fetched, **now)
        assert [task.lease for task in engine.open_tasks()] == [None]
        assert (engine.failures, engine.incidents) == ([], {})

    def test_is_told_where_it_is_not_under_way(
        self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger, now: Mapping[str, Any]
    ) -> None:
        ledger.entries["task-1"].state = State.BACKING_OFF
        lab.dispatch(**now)
        assert len(engine.failures) == 1
