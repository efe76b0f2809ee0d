"""The bridge's surroundings in memory: one clock for engine and ledger, and a table of two routes."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bridge.bulk_reporter import BulkReporter
from bridge.reporter import Reporter
from procos.blobs import BlobStore
from procos.domain.external_task import Topic
from procos.domain.retry import RetryPolicy
from procos.engine.subscription import Subscription
from procos.routes import Route
from procos.testing import FakeEngine, FakeLedger, FakeRegistry, FrozenClock, InstantStop, Register
from procos.testing.samples import HOLDER
from tests.unit.bridge.files_lab import FilesLab, HangingStore, await_threads, file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask, ExternalTaskId

LEASE = timedelta(seconds=20)
POLICY = RetryPolicy(attempts=3, first_delay=timedelta(seconds=10))


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def engine(clock: FrozenClock) -> FakeEngine:
    return FakeEngine(clock)


@pytest.fixture
def ledger(clock: FrozenClock) -> FakeLedger:
    return FakeLedger(clock)


@pytest.fixture
def registry(clock: FrozenClock) -> FakeRegistry:
    return FakeRegistry(Register(clock=clock), holders=[HOLDER])


@pytest.fixture
def table() -> Mapping[Topic, Route]:
    return {
        Topic("ai_query"): Route(task_name="procos.ai_query", queue="ai", module="m", retry=POLICY),
        Topic("narrow"): Route(task_name="procos.narrow", queue="ai", module="m", variables=("wanted",)),
    }


@pytest.fixture
def fetch(engine: FakeEngine) -> Callable[..., ExternalTask]:
    """Fetch the one external task there is."""

    def fetch_one(topic: str = "ai_query", holder: str = HOLDER) -> ExternalTask:
        subscription = Subscription(topic=Topic(topic), lock_duration=LEASE)
        (task,) = engine.fetch_and_lock(holder, [subscription], max_tasks=1, wait=timedelta(0))
        return task

    return fetch_one


@pytest.fixture
def in_flight(fetch: Callable[..., ExternalTask], ledger: FakeLedger) -> Callable[..., DispatchRef]:
    """Fetch the one external task there is, and enter it as published."""
    from bridge.fetched import dispatch_of  # fixtures import what they need

    def publish_one(**options: Any) -> DispatchRef:
        task = fetch(**options)
        ref = dispatch_of(task, Route(task_name="t", queue="ai", module="m")).ref
        ledger.reserve([ref], "ai", LEASE)
        ledger.mark_published([ref])
        return ref

    return publish_one


@pytest.fixture
def message() -> Callable[..., Any]:
    """Build what kombu hands to a consumer, as far as the bridge looks."""

    def build(task: str, payload: object, body: bytes = b"{}", **headers: object) -> Any:
        return SimpleNamespace(headers={"task": task, **headers}, body=body, decode=lambda: payload)

    return build


@pytest.fixture
def reporter(
    engine: FakeEngine, ledger: FakeLedger, registry: FakeRegistry, table: Mapping[Topic, Route], stop: InstantStop
) -> Reporter:
    return Reporter(engine, ledger, table, is_ours=registry.is_ours, stop=stop)


@pytest.fixture
def bulk(engine: FakeEngine, ledger: FakeLedger, reporter: Reporter) -> BulkReporter:
    return BulkReporter(engine, ledger, reporter)


@pytest.fixture
def stop() -> InstantStop:
    return InstantStop(after=20)


@pytest.fixture
def lab(engine: FakeEngine, ledger: FakeLedger, table: Mapping[Topic, Route]) -> FilesLab:
    return FilesLab(engine, ledger, table, stop=threading.Event())


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingStore]:
    store = HangingStore(BlobStore.put)
    monkeypatch.setattr(BlobStore, "put", store.hang)
    yield store
    store.let_go.set()
    await_threads()


@pytest.fixture
def step(engine: FakeEngine) -> Callable[[], ExternalTaskId]:
    """Let a process arrive at a step with a file."""
    return lambda: engine.add(variables={"scan": file()})
