"""Files on their way in: the engine has them, the dispatch carries a reference, and nothing else waits for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from bridge.incoming_files import MOST_TRIES
from bridge.publisher import Receipt
from bridge.undispatched import PUT_OFF
from procos.blobs import BlobStore
from procos.domain.errors import (
    BlobsUnreachableError,
    EngineBusyError,
    EngineDeniedError,
    EngineRejectedError,
    EngineUnreachableError,
    LeaseLostError,
    LedgerUnreachableError,
    PublishRefusedError,
    SettingsError,
)
from procos.domain.external_task import Topic
from procos.domain.variables import TypedValue
from procos.settings import BlobSettings
from procos.testing import InstantStop, RecordingPublisher, typed
from tests.unit.bridge.files_lab import LEASE, SCAN, FilesLab, file, given_back, octets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from procos.domain.errors import ProcosError
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FrozenClock


@pytest.fixture
def lab(engine: FakeEngine, ledger: FakeLedger, table: Mapping[Topic, Route]) -> FilesLab:
    return FilesLab(engine, ledger, table)


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def taking(clock: FrozenClock, *, seconds: float, then: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Return what a store does that takes so long for each piece."""

    def slowly(pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            clock.advance(seconds=seconds)

    def put(store: BlobStore, pieces: Iterable[bytes], **options: object) -> Any:
        return then(store, slowly(pieces), **options) if then else list(slowly(pieces))

    return put


class TestFile:
    def test_becomes_a_reference_of_its_instance(self, lab: FilesLab, engine: FakeEngine) -> None:
        engine.add(variables={"scan": file(), **typed(n=1)})
        (task,) = lab.fetch()
        lab.dispatch([task])
        kept = lab.reference("scan")
        assert (kept.name, kept.media_type) == ("scan.pdf", "application/pdf")
        assert kept.process_instance_id == task.process_instance_id
        assert lab.store.read(kept) == SCAN
        assert lab.variables["n"] == 1
        assert lab.beats > len(SCAN) / 1000  # one for each piece

    def test_of_text_keeps_its_encoding(self, lab: FilesLab, engine: FakeEngine) -> None:
        engine.add(variables={"note": file("grüße".encode("latin-1"), mimeType="text/plain", encoding="ISO-8859-1")})
        lab.dispatch()
        assert (lab.reference("note").is_text, lab.reference("note").charset) == (True, "ISO-8859-1")

    def test_may_be_bytes_which_the_fetch_has_brought(self, lab: FilesLab, engine: FakeEngine) -> None:
        engine.add(variables={"raw": octets(SCAN), "none": TypedValue(type="Bytes", value=None)})
        lab.dispatch()
        kept = lab.reference("raw")
        assert lab.store.read(kept) == SCAN
        assert (kept.media_type, kept.name) == ("application/octet-stream", None)
        assert "none" not in lab.variables
        assert "content" not in engine.calls

    def test_that_the_route_names_is_kept_and_no_other(self, lab: FilesLab, engine: FakeEngine) -> None:
        engine.add("narrow", variables={"wanted": file(), "other": file(b"other")})
        lab.dispatch(lab.fetch("narrow", variables=("wanted",)))
        assert list(lab.variables) == ["wanted"]
        assert [each.blobs for each in lab.store.holdings()] == [1]

    def test_does_not_count_for_the_size_of_the_input(self, lab: FilesLab, engine: FakeEngine) -> None:
        engine.add(variables={"raw": octets(bytes(5000))})
        lab.dispatch(largest_input=1024)
        assert len(lab.sent) == 1

    def test_fetched_twice_is_one_blob(self, lab: FilesLab, engine: FakeEngine, clock: FrozenClock) -> None:
        engine.add(variables={"scan": file()})
        for _ in range(2):
            lab.dispatch()
            clock.advance(seconds=LEASE.total_seconds() + 1)
        assert [each.blobs for each in lab.store.holdings()] == [1]


class TestWithoutAStore:
    def test_a_file_that_is_named_is_refused_with_the_cure(self, lab: FilesLab, engine: FakeEngine) -> None:
        lab.blobs = BlobSettings()
        task_id = engine.add("narrow", variables={"wanted": file()})
        lab.dispatch(lab.fetch("narrow"))
        assert "'wanted': variables of type File are not carried" in engine.incidents[task_id]
        assert "PROCOS_BLOBS_URL" in engine.incidents[task_id]

    def test_a_file_that_nobody_named_is_left_out(self, lab: FilesLab, engine: FakeEngine) -> None:
        lab.blobs = BlobSettings()
        engine.add(variables={"scan": file(), "raw": octets(b"x"), **typed(n=1)})
        lab.dispatch()
        assert lab.variables == {"n": 1}
        assert not {"content", "lock"} & set(engine.calls)


class TestOrder:
    def test_is_steps_without_files_first(self, lab: FilesLab, engine: FakeEngine) -> None:
        for variables in ({"scan": file()}, typed(n=1), {"scan": file()}, typed(n=2)):
            engine.add(variables=variables)
        lab.dispatch()
        assert (lab.sent[:2], sorted(lab.sent[2:])) == (["task-2", "task-4"], ["task-1", "task-3"])

    def test_gives_back_what_comes_after_steps_that_could_not_be_reserved(
        self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        for variables in (typed(n=1), {"scan": file()}, {"scan": file()}):
            engine.add(variables=variables)
        fetched, before = lab.fetch(), given_back()
        ledger.is_down = True
        with pytest.raises(LedgerUnreachableError):
            lab.dispatch(fetched)
        assert [task.lease for task in engine.open_tasks()] == [None] * 3
        assert given_back() == before + 2  # the first counts as not reserved
        assert "content" not in engine.calls

    def test_gives_back_what_cannot_be_reserved_when_its_files_are_there(
        self, lab: FilesLab, engine: FakeEngine, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.add(variables={"scan": file()})
        put = BlobStore.put

        def put_while_the_ledger_goes(store: BlobStore, *args: Any, **options: Any) -> Any:
            ledger.is_down = True
            return put(store, *args, **options)

        monkeypatch.setattr(BlobStore, "put", put_while_the_ledger_goes)
        lab.dispatch()
        assert [task.lease for task in engine.open_tasks()] == [None]
        monkeypatch.setattr(BlobStore, "put", put)
        ledger.is_down = False
        lab.dispatch()
        assert lab.sent == ["task-1"]

    def test_has_the_next_fetch_wait_for_a_broker_without_room(self, lab: FilesLab, engine: FakeEngine) -> None:
        lab.publisher = RecordingPublisher(Receipt.REFUSED)
        engine.add(variables={"scan": file()})
        dispatcher = lab.dispatcher()
        dispatcher.dispatch(lab.fetch())
        assert dispatcher.await_files(10)
        assert [task.lease for task in engine.open_tasks()] == [None]
        with pytest.raises(PublishRefusedError):
            dispatcher.ready()
        dispatcher.ready()

    def test_renews_the_lock_for_each_file(self, lab: FilesLab, engine: FakeEngine) -> None:
        engine.latency = timedelta(seconds=4)  # of each call, so that two files take longer than half of a lock
        task_id = engine.add(variables={"one": file(b"1"), "two": file(b"2")})
        lab.dispatch()
        assert lab.sent == [task_id]
        (held,) = engine.open_tasks()
        assert held.lease is not None
        assert held.lease.expires - engine.clock.now() == LEASE


class TestRefusal:
    def test_of_a_file_that_is_too_large_is_an_incident_that_names_it(self, lab: FilesLab, engine: FakeEngine) -> None:
        lab.blobs = lab.blobs.model_copy(update={"largest": 4096})
        task_id = engine.add(variables={"scan": file(bytes(5000))})
        lab.dispatch()
        assert "'scan'" in engine.incidents[task_id]
        assert "PROCOS_BLOBS_LARGEST" in engine.incidents[task_id]
        assert lab.sent == []

    def test_of_a_file_that_takes_too_long_again_and_again_is_an_incident_that_names_the_cure(
        self, lab: FilesLab, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, clock: FrozenClock
    ) -> None:
        monkeypatch.setattr(BlobStore, "put", taking(clock, seconds=LEASE.total_seconds() / 4 + 1))
        task_id, dispatcher = engine.add(variables={"scan": file()}), lab.dispatcher()
        for tries in range(1, MOST_TRIES):
            dispatcher.dispatch(lab.fetch())
            assert dispatcher.await_files(10)
            assert [failure.retries for failure in engine.failures] == [3] * tries
            assert f"try {tries} of 3" in engine.failures[-1].message
            clock.advance(seconds=PUT_OFF.total_seconds() + 1)
        assert engine.incidents == {}
        dispatcher.dispatch(lab.fetch())
        assert dispatcher.await_files(10)
        assert "within 10 s, half of its lock, 3 times" in engine.incidents[task_id]
        assert "lock_duration" in engine.incidents[task_id]

    @pytest.mark.parametrize("text", ["no base64!", "a"])
    def test_of_bytes_that_are_none_is_an_incident(self, lab: FilesLab, engine: FakeEngine, text: str) -> None:
        task_id = engine.add(variables={"raw": TypedValue(type="Bytes", value=text)})
        lab.dispatch()
        assert "'raw': is not base64" in engine.incidents[task_id]

    def test_of_a_file_that_is_gone_is_an_incident(self, lab: FilesLab, engine: FakeEngine) -> None:
        task_id = engine.add(variables={"scan": file()})
        fetched = lab.fetch()
        engine.refuse_next(None, EngineRejectedError("variable 'scan' is gone", status=404))
        lab.dispatch(fetched)
        assert "'scan': its content cannot be kept" in engine.incidents[task_id]

    def test_of_what_no_driver_is_there_for_is_an_incident(
        self, lab: FilesLab, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(BlobStore, "put", raising(SettingsError(["PROCOS_BLOBS_URL: no driver"])))
        task_id = engine.add(variables={"scan": file()})
        lab.dispatch()
        assert "PROCOS_BLOBS_URL: no driver" in engine.incidents[task_id]


class TestOutage:
    @pytest.mark.parametrize(
        "error",
        [
            EngineUnreachableError("engine", "cut"),
            EngineBusyError("busy", status=503),
            EngineDeniedError("no", status=403),
        ],
    )
    def test_of_the_engine_puts_the_step_off_and_stops_nobody_else(
        self, lab: FilesLab, engine: FakeEngine, error: ProcosError, clock: FrozenClock
    ) -> None:
        put_off, other = (engine.add(variables={"scan": file(name)}) for name in (b"one", b"other"))
        fetched, before = lab.fetch(), given_back()
        engine.refuse_next(None, error)
        lab.dispatch(fetched)
        assert lab.sent == [other]
        (failure,) = engine.failures
        assert (failure.external_task_id, failure.retries, failure.retry_in) == (put_off, 3, PUT_OFF)
        assert "blob store" in failure.message
        assert (engine.incidents, given_back()) == ({}, before + 1)
        assert put_off not in [task.id for task in lab.fetch()]
        clock.advance(seconds=PUT_OFF.total_seconds() + 1)
        lab.dispatch()
        assert put_off in lab.sent

    def test_of_the_store_leaves_the_step_the_retries_it_has(
        self, lab: FilesLab, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.set_retries(engine.add(variables={"scan": file()}), 1)
        monkeypatch.setattr(BlobStore, "put", raising(BlobsUnreachableError("memory://", "away")))
        lab.dispatch()
        assert [failure.retries for failure in engine.failures] == [1]
        assert engine.incidents == {}

    def test_that_nobody_foresaw_puts_the_step_off_and_says_so_in_the_log(
        self, lab: FilesLab, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(BlobStore, "put", raising(MemoryError()))
        engine.add(variables={"scan": file()})
        with capture_logs() as logs:
            lab.dispatch()
        assert [(failure.retries, failure.retry_in) for failure in engine.failures] == [(3, PUT_OFF)]
        assert "MemoryError" in engine.failures[0].message
        assert [line["event"] for line in logs] == ["file.not_kept", "porter.failed"]

    @pytest.mark.parametrize(("config", "retries"), [("R5/PT5M", 5), ("soon", 3)])
    def test_leaves_the_step_as_many_retries_as_its_model_says(
        self, lab: FilesLab, engine: FakeEngine, config: str, retries: int
    ) -> None:
        engine.add(variables={"scan": file()}, extension_properties={"RETRY_CONFIG": config})
        fetched = lab.fetch()
        engine.refuse_next(EngineUnreachableError("engine", "cut"))
        lab.dispatch(fetched)
        assert [failure.retries for failure in engine.failures] == [retries]

    def test_that_cannot_be_told_leaves_the_step_to_its_lock(self, lab: FilesLab, engine: FakeEngine) -> None:
        engine.add(variables={"scan": file()})
        fetched = lab.fetch()
        engine.refuse_next(LeaseLostError("another has it"), EngineUnreachableError("engine", "cut"))
        lab.dispatch(fetched)
        assert (lab.sent, engine.failures) == ([], [])

    def test_that_ends_within_half_of_the_lock_is_none(
        self, lab: FilesLab, engine: FakeEngine, table: dict[Topic, Route], monkeypatch: pytest.MonkeyPatch,
        clock: FrozenClock,
    ) -> None:  # fmt: skip
        """As where a driver has gathered some megabytes, and sends them through a slow line within one call."""
        topic = Topic("ai_query")
        table[topic] = replace(table[topic], lock_duration=timedelta(seconds=600))
        monkeypatch.setattr(BlobStore, "put", taking(clock, seconds=200, then=BlobStore.put))
        task_id = engine.add(variables={"scan": file(b"%PDF")})
        lab.dispatch()
        assert (lab.sent, engine.failures) == ([task_id], [])

    def test_by_a_bridge_that_stops_puts_the_step_off(self, lab: FilesLab, engine: FakeEngine) -> None:
        lab.stop = InstantStop()
        lab.stop.set()
        engine.add(variables={"scan": file()})
        lab.dispatch()
        assert "the bridge stops" in engine.failures[0].message
        assert lab.store.holdings() == []
