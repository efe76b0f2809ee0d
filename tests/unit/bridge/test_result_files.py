"""Results that become files of the engine: sent with their content, alone, and never lost for want of the store."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bridge.bulk_reporter import BulkReporter
from bridge.dead_letters import DeadLetters
from bridge.disposals import Disposal, decision_on
from bridge.outcomes import Callback
from bridge.reconciler import Reconciler
from bridge.reporter import Reporter, Verdict
from bridge.result_files import ResultFiles, become_files
from procos.blobs import BlobStore, blob_store
from procos.domain.errors import BlobsUnreachableError, VariableError
from procos.domain.outcome import BpmnError, Completion, to_envelope
from procos.domain.variables import TypedValue
from procos.settings import BlobSettings, BrokerSettings
from procos.testing import dispatch_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.blobs import BlobReference
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import Topic
    from procos.domain.outcome import Outcome
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FakeRegistry, FrozenClock, InstantStop

SCAN = b"%PDF " * 100


@pytest.fixture
def blobs() -> BlobSettings:
    return BlobSettings(url=f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def store(blobs: BlobSettings) -> BlobStore:
    return blob_store(blobs)


@pytest.fixture
def scan(store: BlobStore) -> BlobReference:
    return store.put(SCAN, under="instance-1", media_type="application/pdf", name="scan.pdf")


@pytest.fixture
def files(blobs: BlobSettings, stop: InstantStop) -> ResultFiles:
    return ResultFiles(blobs, stop)


@pytest.fixture
def reporter(
    engine: FakeEngine,
    ledger: FakeLedger,
    registry: FakeRegistry,
    table: Mapping[Topic, Route],
    stop: InstantStop,
    blobs: BlobSettings,
) -> Reporter:
    return Reporter(engine, ledger, table, is_ours=registry.is_ours, blobs=blobs, stop=stop)


def go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BlobsUnreachableError("memory://", "away")

    monkeypatch.setattr(BlobStore, "read", fail)


class TestTyped:
    def test_gives_a_file_its_name_and_kind(self, files: ResultFiles, store: BlobStore) -> None:
        note = store.put("grüße".encode(), under="i", media_type="text/plain; charset=utf-8")
        written = files.typed({"note": note.as_file().to_json(), "n": 1})
        assert written == {
            "n": 1,
            "note": TypedValue(
                type="File",
                value=base64.b64encode("grüße".encode()).decode(),
                value_info={"filename": "note", "mimeType": "text/plain", "encoding": "utf-8"},
            ),
        }

    def test_gives_bytes_nothing_but_content(self, files: ResultFiles, scan: BlobReference) -> None:
        written = files.typed({"raw": scan.as_bytes().to_json()})
        assert written["raw"] == TypedValue(type="Bytes", value=base64.b64encode(SCAN).decode())

    def test_leaves_alone_what_stays_a_reference(self, files: ResultFiles, scan: BlobReference) -> None:
        variables: dict[str, object] = {"scan": scan.to_json(), "becomes": "File", "other": {"becomes": "File"}}
        assert files.typed(variables) is variables
        assert not become_files(variables)

    def test_takes_no_more_than_the_engine_does(
        self, blobs: BlobSettings, stop: InstantStop, scan: BlobReference
    ) -> None:
        files = ResultFiles(blobs, stop, largest=len(SCAN) + 10)
        files.typed({"one": scan.as_file().to_json()})
        with pytest.raises(VariableError, match=f"'two': {len(SCAN)} bytes"):
            files.typed({"one": scan.as_file().to_json(), "two": scan.as_file().to_json()})

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"size": 5}, "damaged"),
            ({"key": f"other/{'ab' * 32}", "sha256": "ab" * 32}, "not in the store"),
            ({"key": "../secret"}, "no reference to a blob: key"),
            ({"becomes": "Object"}, "no reference to a blob: becomes"),
        ],
    )
    def test_refuses_what_leads_to_no_content(
        self, files: ResultFiles, scan: BlobReference, change: Mapping[str, object], words: str
    ) -> None:
        with pytest.raises(VariableError, match=rf"'scan'.*{words}"):
            files.typed({"scan": {**scan.as_file().to_json(), **change}})

    def test_refuses_a_file_where_no_store_is_set(self, stop: InstantStop, scan: BlobReference) -> None:
        with pytest.raises(VariableError, match=r"'scan'.*PROCOS_BLOBS_URL"):
            ResultFiles(BlobSettings(), stop).typed({"scan": scan.as_file().to_json()})


class TestReporter:
    def test_ends_a_step_with_a_file(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef], scan: BlobReference
    ) -> None:
        task_id = engine.add()
        done = Completion(variables={"scan": scan.as_file().to_json(), "n": 1})
        assert reporter.report(in_flight(), done) is Verdict.COMPLETED
        sent: Any = engine.completed[task_id]["scan"]
        assert (sent.type, base64.b64decode(sent.value), sent.value_info["filename"]) == ("File", SCAN, "scan.pdf")
        assert engine.completed[task_id]["n"] == 1

    def test_throws_an_error_with_a_file(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef], scan: BlobReference
    ) -> None:
        engine.add(catches=["REFUSED"])
        error = BpmnError(code="REFUSED", variables={"scan": scan.as_bytes().to_json()})
        assert reporter.report(in_flight(), error) is Verdict.BPMN_ERROR

    @pytest.mark.parametrize("kind", [Completion, BpmnError])
    def test_makes_an_incident_of_a_file_that_is_missing(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        store: BlobStore,
        scan: BlobReference,
        kind: type,
    ) -> None:
        task_id = engine.add(catches=["REFUSED"])
        store.put(b"another", under="instance-2")
        store.remove("instance-1")
        variables = {"scan": scan.as_file().to_json()}
        code = {"code": "REFUSED"} if kind is BpmnError else {}
        outcome = kind(variables=variables, **code)
        assert reporter.report(in_flight(), outcome) is Verdict.INCIDENT
        assert "'scan'" in engine.incidents[task_id]

    def test_keeps_a_result_whose_file_cannot_be_read_now(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        scan: BlobReference,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        engine.add()
        ref, done = in_flight(), Completion(variables={"scan": scan.as_file().to_json()})
        with monkeypatch.context() as away:
            go_away(away)
            with pytest.raises(BlobsUnreachableError) as caught:
                reporter.report(ref, done)
        assert decision_on(caught.value).disposal is Disposal.PARK
        assert reporter.report(ref, done) is Verdict.COMPLETED


class TestLists:
    def test_leave_files_to_be_reported_alone(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        reporter: Reporter,
        in_flight: Callable[..., DispatchRef],
        scan: BlobReference,
    ) -> None:
        bulk = BulkReporter(engine, ledger, reporter)
        outcomes: list[Outcome] = [
            Completion(variables={"scan": scan.as_file().to_json()}),
            Completion(variables={"scan": scan.to_json()}),
            BpmnError(code="REFUSED", variables={"scan": scan.as_bytes().to_json()}),
        ]
        callbacks = []
        for outcome in outcomes:
            engine.add(catches=["REFUSED"])
            callbacks.append(Callback(ref=in_flight(), outcome=outcome))
        assert bulk.tell(callbacks) == [None, Verdict.COMPLETED, None]


class TestOutageOfTheStore:
    """Concerns the outcomes with files, and holds up no others."""

    @pytest.fixture
    def away(self, reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise BlobsUnreachableError("memory://", "away")

        monkeypatch.setattr(reporter, "report", fail)

    @pytest.mark.usefixtures("away")
    def test_puts_off_a_dead_letter(self, reporter: Reporter, ledger: FakeLedger) -> None:
        letters = DeadLetters(reporter, ledger, BrokerSettings(), queues=["ai"])
        body = [[], {"dispatch": dispatch_ref().to_json(), "variables": {}}, {}]
        message = SimpleNamespace(body=json.dumps(body).encode(), headers={}, properties={}, content_type="")
        assert not letters._examine(message, "ai").concerns_all

    @pytest.mark.usefixtures("away")
    def test_costs_a_stored_result_patience_alone(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        ledger: FakeLedger,
        table: Mapping[Topic, Route],
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        reconciler = Reconciler(
            engine, ledger, reporter, table, queues=["ai"], depths=dict, lost_after=timedelta(seconds=60),
            largest_age=timedelta(hours=1),
        )  # fmt: skip
        engine.add()
        stored = {"status": "SUCCESS", "result": dict(to_envelope(Completion()).fields)}
        ledger.results[in_flight().celery_id] = stored
        clock.advance(seconds=11)
        for _ in range(2):
            reconciler.turn()  # raises nothing
        assert engine.completed == {}
