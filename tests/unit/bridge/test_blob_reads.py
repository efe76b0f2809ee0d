"""A store that hangs holds up the results that become files, and no others: nobody waits long for a read."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from bridge import blob_reads
from bridge.blob_reads import AT_ONCE, PATIENCE_SECONDS, BlobReads
from bridge.bulk_reporter import BulkReporter
from bridge.completers import Completers, Handled
from bridge.disposals import Disposal
from bridge.reporter import Reporter
from procos.blobs import BlobStore, blob_store
from procos.domain.errors import BlobsUnreachableError, PermanentError
from procos.domain.outcome import Completion, to_envelope
from procos.settings import BlobSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.completers import ListDone
    from procos.blobs import BlobReference
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import Topic
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FakeRegistry, FrozenClock

SECONDS = 10
"""The longest any of this may take, far above what it does take."""


@dataclass
class HangingStore:
    """What `read` of every store does: it waits until it is let go, unless it is asked for what does not hang."""

    let_go: threading.Event = field(default_factory=threading.Event)
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    spares: set[str] = field(default_factory=set)


@pytest.fixture
def blobs() -> BlobSettings:
    return BlobSettings(url=f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def put(blobs: BlobSettings) -> Callable[..., BlobReference]:
    return lambda content=b"scan": blob_store(blobs).put(content, under="instance-1")


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def reads(blobs: BlobSettings, stop: threading.Event, clock: FrozenClock) -> BlobReads:
    return BlobReads(blobs, stop, clock=lambda: clock.milliseconds() / 1000)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingStore]:
    read, store = BlobStore.read, HangingStore()

    def hang(self: BlobStore, reference: BlobReference) -> bytes:
        store.asked.release()
        assert reference.key in store.spares or store.let_go.wait(SECONDS)
        return read(self, reference)

    monkeypatch.setattr(BlobStore, "read", hang)
    yield store
    store.let_go.set()


def give_up(reads: BlobReads, reference: BlobReference) -> None:
    """Read in vain, without any patience."""
    with pytest.MonkeyPatch.context() as at_once:
        at_once.setattr(blob_reads, "LONGEST_SECONDS", 0.0)
        with pytest.raises(BlobsUnreachableError, match="within 0 s"):
            reads.read(reference)


class TestRead:
    def test_returns_the_content(self, reads: BlobReads, put: Callable[..., BlobReference]) -> None:
        assert reads.read(put(b"scan")) == b"scan"

    def test_says_what_the_store_says(
        self, reads: BlobReads, put: Callable[..., BlobReference], blobs: BlobSettings
    ) -> None:
        gone = put()
        blob_store(blobs).remove("instance-1")
        blob_store(blobs).put(b"another", under="instance-2")
        with pytest.raises(PermanentError, match="not in the store"):
            reads.read(gone)

    def test_needs_a_thread(
        self, reads: BlobReads, put: Callable[..., BlobReference], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        scan = put()
        with monkeypatch.context() as exhausted:
            exhausted.setattr(threading.Thread, "start", refuse)
            for _ in range(AT_ONCE + 1):
                with pytest.raises(BlobsUnreachableError, match="can't start new thread"):
                    reads.read(scan)
        assert reads.read(scan) == b"scan"


class TestAStoreThatHangs:
    def test_is_not_waited_for_where_it_has_taken_every_place(
        self, reads: BlobReads, put: Callable[..., BlobReference], hanging: HangingStore, clock: FrozenClock
    ) -> None:
        for number in range(AT_ONCE):
            give_up(reads, put(b"%d" % number))
        clock.advance(seconds=PATIENCE_SECONDS)
        with pytest.raises(BlobsUnreachableError, match=f"{AT_ONCE} reads are under way, one for 1 s"):
            reads.read(put(b"another"))
        assert not hanging.let_go.is_set()

    def test_is_asked_once_for_a_blob_that_alone_hangs(
        self, reads: BlobReads, put: Callable[..., BlobReference], hanging: HangingStore, clock: FrozenClock
    ) -> None:
        bad, good = put(b"bad"), put(b"good")
        hanging.spares.add(good.key)
        give_up(reads, bad)
        clock.advance(seconds=PATIENCE_SECONDS)
        with pytest.raises(BlobsUnreachableError, match="has been read for 1 s already"):
            reads.read(bad)
        assert reads.read(good) == b"good"

    def test_is_waited_for_while_it_may_just_be_busy(
        self,
        reads: BlobReads,
        put: Callable[..., BlobReference],
        hanging: HangingStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for number in range(AT_ONCE):
            give_up(reads, put(b"%d" % number))
        has_room = reads._has_room

        def work_on() -> bool:
            is_room = has_room()
            hanging.let_go.set()  # as soon as somebody has found no room
            return is_room

        monkeypatch.setattr(reads, "_has_room", work_on)
        assert reads.read(put(b"another")) == b"another"

    def test_is_read_from_again_when_it_works_again(
        self, reads: BlobReads, put: Callable[..., BlobReference], hanging: HangingStore, clock: FrozenClock
    ) -> None:
        scan = put()
        give_up(reads, scan)
        clock.advance(seconds=PATIENCE_SECONDS)
        hanging.let_go.set()
        with reads._changed:
            assert reads._changed.wait_for(lambda: not reads._under_way, SECONDS)
        assert reads.read(scan) == b"scan"

    @pytest.mark.usefixtures("hanging")
    def test_keeps_no_bridge_from_ending(
        self,
        reads: BlobReads,
        put: Callable[..., BlobReference],
        stop: threading.Event,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(blob_reads, "LOOK_SECONDS", 0.01)
        stop.set()
        with pytest.raises(BlobsUnreachableError, match="longer than this bridge lives"):
            reads.read(put())
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "blob-read")

    def test_leaves_completers_to_what_has_no_files(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        registry: FakeRegistry,
        table: Mapping[Topic, Route],
        blobs: BlobSettings,
        put: Callable[..., BlobReference],
        in_flight: Callable[..., DispatchRef],
        message: Callable[..., Any],
        stop: threading.Event,
        hanging: HangingStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(blob_reads, "PATIENCE_SECONDS", 0.05)
        reporter = Reporter(engine, ledger, table, is_ours=registry.is_ours, blobs=blobs, stop=stop)
        returned: SimpleQueue[Sequence[Handled | ListDone]] = SimpleQueue()
        bulk = BulkReporter(engine, ledger, reporter, is_wanted=False)
        completers = Completers(reporter, bulk, ledger, threads=AT_ONCE + 1, hand_back=returned.put)

        def take(variables: Mapping[str, object]) -> None:
            engine.add()
            envelope = dict(to_envelope(Completion(variables=variables)).fields)
            payload: object = ([envelope], {"dispatch": in_flight().to_json()}, {})
            completers.take(1, message("procos.complete", payload))

        for number in range(AT_ONCE + 3):
            take({"scan": put(b"%d" % number).as_file().to_json()})
        take({"answer": 42})
        completers.send_off()
        came = [handled for _ in range(4) for handled in returned.get(timeout=SECONDS)]
        assert [each.decision.disposal for each in came if isinstance(each, Handled)] == [
            *[Disposal.PARK] * 3,
            Disposal.ACKNOWLEDGE,
        ]
        assert not hanging.let_go.is_set()
        hanging.let_go.set()
        completers.shut_down()
