"""A dispatcher with a blob store in memory, and an engine whose steps have files."""

from __future__ import annotations

import base64
import threading
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bridge.dispatcher import Dispatcher
from procos import metrics
from procos.blobs import blob_store, reference_in
from procos.domain.external_task import Topic
from procos.domain.variables import TypedValue
from procos.engine.subscription import Subscription
from procos.settings import BlobSettings
from procos.testing import FakeEngine, FakeLedger, InstantStop, RecordingPublisher
from procos.testing.samples import HOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procos.blobs import BlobReference, BlobStore
    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.routes import Route

LEASE = timedelta(seconds=20)
SECONDS = 10
"""The longest that threads may take, far above what they do take."""
SCAN = b"%PDF " * 1000


def file(content: bytes = SCAN, **facts: str) -> TypedValue:
    info = {"filename": "scan.pdf", "mimeType": "application/pdf", **facts}
    return TypedValue(type="File", value=base64.b64encode(content).decode(), value_info=info)


def octets(content: bytes) -> TypedValue:
    return TypedValue(type="Bytes", value=base64.b64encode(content).decode())


def given_back() -> float:
    """Count them whatever their topic is called: a label stands only for those somebody has made known."""
    samples = [sample for family in metrics.DROPPED.collect() for sample in family.samples]
    return sum(s.value for s in samples if s.name.endswith("_total") and s.labels["reason"] == metrics.Drop.GIVEN_BACK)


@dataclass
class FilesLab:
    """What the cases share; `blobs` and `stop` may be replaced before the first dispatch."""

    engine: FakeEngine
    ledger: FakeLedger
    table: Mapping[Topic, Route]
    blobs: BlobSettings = field(default_factory=lambda: BlobSettings(url=f"memory://{uuid.uuid4().hex}"))
    stop: threading.Event = field(default_factory=InstantStop)
    publisher: RecordingPublisher = field(default_factory=RecordingPublisher)
    beats: int = 0

    @property
    def store(self) -> BlobStore:
        return blob_store(self.blobs)

    def fetch(self, topic: str = "ai_query", variables: tuple[str, ...] | None = None) -> Sequence[ExternalTask]:
        subscription = Subscription(topic=Topic(topic), lock_duration=LEASE, variables=variables)
        return self.engine.fetch_and_lock(HOLDER, [subscription], max_tasks=10, wait=timedelta(0))

    def dispatch(self, fetched: Sequence[ExternalTask] | None = None, **options: Any) -> None:
        """Dispatch what was fetched, or all there is, and wait for the files."""
        dispatcher = self.dispatcher(**options)
        dispatcher.dispatch(self.fetch() if fetched is None else fetched)
        assert dispatcher.await_files(10)

    @property
    def sent(self) -> list[ExternalTaskId]:
        return [publication.dispatch.ref.external_task_id for publication in self.publisher.published]

    @property
    def variables(self) -> Mapping[str, object]:
        """Those of the first dispatch."""
        return self.publisher.published[0].dispatch.variables

    def reference_of(self, external_task_id: ExternalTaskId, name: str = "scan") -> BlobReference:
        dispatches = {each.dispatch.ref.external_task_id: each.dispatch for each in self.publisher.published}
        return reference_in(name, dispatches[external_task_id].variables[name])

    def reference(self, name: str) -> BlobReference:
        return reference_in(name, self.variables[name])

    def dispatcher(self, **options: Any) -> Dispatcher:
        def beat() -> None:
            self.beats += 1

        return Dispatcher(
            self.engine, self.ledger, self.publisher, self.table, queue="ai", lease=LEASE, blobs=self.blobs,
            stop=self.stop, beat=beat, clock=lambda: self.engine.clock.now().timestamp(), **options,
        )  # fmt: skip


@dataclass
class HangingStore:
    """What `put` of every store does: it waits until it is let go, and says how many wait."""

    put: Callable[..., Any]
    """What it does then, and when it works."""
    let_go: threading.Event = field(default_factory=threading.Event)
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @property
    def hang(self) -> Callable[..., Any]:
        def hang(store: BlobStore, *args: Any, **options: Any) -> Any:
            self.asked.release()
            assert self.let_go.wait(SECONDS)
            return self.put(store, *args, **options)

        return hang

    def await_call(self) -> None:
        assert self.asked.acquire(timeout=SECONDS)


def await_threads() -> None:
    """Wait until no thread brings files any more."""
    for thread in threading.enumerate():
        if thread.name == "files-ai":
            thread.join(SECONDS)
            assert not thread.is_alive()
