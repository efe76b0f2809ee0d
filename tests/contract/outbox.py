"""The consumer of results on a real broker, between an engine and a ledger in memory."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bridge.bulk_reporter import BulkReporter
from bridge.callbacks import Callbacks
from bridge.fetched import dispatch_of
from bridge.reporter import Reporter
from bridge.shelf import Shelf
from procos.domain.outcome import Completion, to_envelope
from procos.engine.subscription import Subscription
from procos.queues import PARKED, SHELF, Queue
from procos.routes import ROUTES, Route
from procos.testing import FakeEngine, FakeLedger
from procos.testing.samples import HOLDER
from tests.broker_view import QUEUES, BrokerView
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.shelf import DeadLetter
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTaskId, Topic
    from procos.settings import BrokerSettings

ENVELOPE = dict(to_envelope(Completion(variables={"answer": 42})).fields)
PARKING_MILLISECONDS = 400
TIMEOUT = 15.0


class SlowEngine(FakeEngine):
    """An engine whose completions wait until the test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def complete(self, *args: Any, **kwargs: Any) -> None:
        self.entered.set()
        assert self.gate.wait(TIMEOUT)
        super().complete(*args, **kwargs)


class RunningCallbacks:
    """A consumer of results on its thread."""

    def __init__(self, callbacks: Callbacks, stop: threading.Event) -> None:
        self.callbacks, self._stop = callbacks, stop
        self._thread = threading.Thread(target=callbacks.run, args=(stop,), daemon=True)
        self._thread.start()

    def stop(self, seconds: float = TIMEOUT) -> None:
        """Stop it, which must not take longer than it may."""
        self._stop.set()
        self.callbacks.wake()
        self._thread.join(seconds)
        assert not self._thread.is_alive()


class Outbox:
    """What a case may do: let steps arrive, put their results, start and stop consumers."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.settings, self.view = settings, BrokerView(settings)
        self.engine = SlowEngine()
        self.ledger = FakeLedger(self.engine.clock)
        self._running: list[RunningCallbacks] = []

    def consume(self, settings: BrokerSettings | None = None) -> RunningCallbacks:
        """Start a consumer of results, and wait until it consumes."""
        stop = threading.Event()
        reporter = self.reporter(stop)
        bulk = BulkReporter(self.engine, self.ledger, reporter)
        callbacks = Callbacks(
            reporter, bulk, self.ledger, settings or self.settings, completers=2, queues=["ai", "generic"]
        )
        running = RunningCallbacks(callbacks, stop)
        self._running.append(running)
        if self.settings.url.startswith("amqp"):
            wait_until(lambda: self.view.consumers(Queue.CALLBACKS) == 1, TIMEOUT, what="the consumer is there")
        return running

    def reporter(self, stop: threading.Event) -> Reporter:
        """Return what reports to this engine."""
        return Reporter(self.engine, self.ledger, ROUTES, is_ours=HOLDER.__eq__, stop=stop)

    def step(self) -> DispatchRef:
        """Let an instance arrive at a step, and dispatch it."""
        self.engine.add()
        topic: Topic = next(iter(ROUTES))
        subscription = Subscription(topic=topic, lock_duration=timedelta(minutes=5))
        (task,) = self.engine.fetch_and_lock(HOLDER, [subscription], max_tasks=1, wait=timedelta(0))
        ref = dispatch_of(task, Route(task_name="t", queue="ai", module="m")).ref
        self.ledger.reserve([ref], "ai", timedelta(minutes=5))
        return ref

    def put_result(self, ref: DispatchRef, envelope: object = ENVELOPE, **changes: object) -> None:
        """Publish a completion as a worker does."""
        body = [[envelope], {"dispatch": {**ref.to_json(), **changes}}, {}]
        self.put(json.dumps(body).encode(), id="callback")

    def put_failure(self, ref: DispatchRef) -> None:
        """Publish a failure as a worker does: what happened stands in the ledger."""
        body = [["id"], {"dispatch": ref.to_json()}, {}]
        self.put(json.dumps(body).encode(), task="procos.fail")

    def put(self, body: bytes, **headers: object) -> None:
        """Publish whatever there is to the queue of results."""
        self.view.put(Queue.CALLBACKS, body, {"task": "procos.complete", **headers})

    def until_reported(self, *refs: DispatchRef, seconds: float = TIMEOUT) -> None:
        """Wait until the engine has the results."""
        wanted: set[ExternalTaskId] = {ref.external_task_id for ref in refs}
        wait_until(lambda: wanted <= set(self.engine.completed), seconds, what="the results are reported")

    def until_empty(self) -> None:
        """Wait until neither a result nor a parked one is left."""
        waiting = self.view.waiting
        wait_until(lambda: (waiting(Queue.CALLBACKS), waiting(PARKED)) == (0, 0), TIMEOUT, what="it is empty")

    def shelved(self, count: int) -> Sequence[DeadLetter]:
        """Wait until so many messages lie on the shelf, and look at them."""
        wait_until(lambda: self.view.waiting(SHELF) == count, TIMEOUT, what="they are on the shelf")
        return Shelf(self.settings, QUEUES).look(count).letters

    def close(self) -> None:
        """Stop every consumer."""
        self.engine.gate.set()
        for running in self._running:
            running.stop()
