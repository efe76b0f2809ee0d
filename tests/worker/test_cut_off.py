"""A worker whose broker or Redis goes away: what it runs goes on, is done once, and is told when it can be."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from procos import ledger_keys as keys
from procos.queues import Queue
from tests.chaos.proxy import FaultProxy, Link
from tests.services import pause, wait_until
from tests.worker.nodes import WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

    from bridge.ledger import Ledger
    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView
    from tests.services import Service

OUTAGE_SECONDS = 20.0
PREFORK, THREADS = ("-Q", "ai,generic", "-c", "2"), ("-Q", "ai")
POOLS = pytest.mark.parametrize("arguments", [PREFORK, THREADS], ids=["prefork", "threads"])


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """A worker that reaches broker and Redis over links that fail when asked to."""

    container: WorkerContainer
    broker: Link
    redis: Link
    effects: Path

    def noted(self) -> list[str]:
        return [line.split()[0] for line in self.effects.read_text().splitlines()] if self.effects.exists() else []

    def await_start(self) -> None:
        wait_until(self.effects.exists, 20, what="the task has started")


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    proxy = FaultProxy()
    yield proxy
    proxy.close()


@pytest.fixture
def worker(
    arguments: tuple[str, ...],
    rabbitmq: Service,
    redis_server: Service,
    proxy: FaultProxy,
    broker: BrokerView,
    tmp_path: Path,
) -> Iterator[CutOff]:
    broker.declare()
    links, environment = {}, {"PROCOS_WORKER_SOFT_SHUTDOWN": "2"}
    if arguments == PREFORK:
        environment["REMAP_SIGTERM"] = "SIGQUIT"  # as the Procfile has it
    for service, name in ((rabbitmq, "PROCOS_BROKER_URL"), (redis_server, "PROCOS_REDIS_URL")):
        address = service.environment[name]
        port = urlsplit(address).port
        assert port
        links[name] = proxy.link(name, port)
        environment[name] = address.replace(f":{port}", f":{links[name].port}")
    container = WorkerContainer(arguments, environment, tmp_path)
    container.start()
    yield CutOff(
        container=container,
        broker=links["PROCOS_BROKER_URL"],
        redis=links["PROCOS_REDIS_URL"],
        effects=tmp_path / "effects",
    )
    container.teardown()


@pytest.fixture
def starts(ledger: Ledger) -> Callable[[DispatchRef], int]:
    """How often a dispatch was started."""
    client: redis.Redis = ledger._redis
    return lambda ref: int(client.hget(keys.entry(ref.external_task_id), "starts") or 0)


class TestWorkerWithoutBroker:
    @POOLS
    def test_does_once_what_it_was_doing_when_the_connection_broke(
        self, worker: CutOff, send: Callable[..., DispatchRef], broker: BrokerView, starts: Callable[[DispatchRef], int]
    ) -> None:
        ref = send("sample_sleep", seconds=6, effects_file=str(worker.effects))
        worker.await_start()
        worker.broker.reset()
        broker.take(Queue.CALLBACKS, 30)
        pause(2)
        assert worker.noted() == ["start", "effect"]
        assert starts(ref) == 1
        wait_until(lambda: "task.not_run" in worker.container.logs(), 20, what="the copy was looked at")
        assert (broker.waiting(Queue.CALLBACKS), broker.waiting("ai")) == (0, 0)

    @POOLS
    def test_publishes_a_result_as_soon_as_the_broker_is_back(
        self, worker: CutOff, send: Callable[..., DispatchRef], broker: BrokerView, starts: Callable[[DispatchRef], int]
    ) -> None:
        ref = send("sample_sleep", seconds=3, effects_file=str(worker.effects))
        worker.await_start()
        worker.broker.refuse()
        pause(OUTAGE_SECONDS)
        assert worker.noted() == ["start", "effect"]
        worker.broker.accept()
        assert broker.take(Queue.CALLBACKS, 30).headers["task"] == "procos.complete"
        wait_until(lambda: broker.waiting("ai") == 0, 30, what="the copy was taken")
        pause(6)
        assert worker.noted() == ["start", "effect"]
        assert starts(ref) == 1
        assert (broker.waiting(Queue.CALLBACKS), broker.waiting("ai")) == (0, 0)

    @POOLS
    def test_still_ends_when_it_is_asked_to(self, worker: CutOff, send: Callable[..., DispatchRef]) -> None:
        send("sample_sleep", seconds=1, effects_file=str(worker.effects))
        worker.await_start()
        worker.broker.refuse()
        wait_until(lambda: "effect" in worker.noted(), 10, what="the task has ended")
        pause(1)
        began = time.monotonic()
        worker.container.kill("SIGTERM")
        assert time.monotonic() - began < 20


class TestWorkerWithoutRedis:
    @POOLS
    def test_goes_on_and_publishes_the_result(
        self, worker: CutOff, send: Callable[..., DispatchRef], broker: BrokerView
    ) -> None:
        pid = worker.container.pid
        send("sample_sleep", seconds=3, effects_file=str(worker.effects))
        worker.await_start()
        worker.redis.refuse()
        assert broker.take(Queue.CALLBACKS, 15).headers["task"] == "procos.complete"
        pause(OUTAGE_SECONDS)
        worker.redis.accept()
        send("sample_sleep", seconds=0)
        assert broker.take(Queue.CALLBACKS, 60).headers["task"] == "procos.complete"
        assert worker.noted() == ["start", "effect"]
        assert (worker.container.pid, worker.container.status) == (pid, "running")
