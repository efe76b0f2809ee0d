"""A whole bridge on real RabbitMQ and Redis, over an engine in memory whose clock is the real one.

Its patience is short, so that what a bridge does after a minute shows within a test.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from bridge.budget import Budget
from bridge.bulk_reporter import BulkReporter
from bridge.callbacks import Callbacks
from bridge.dead_letters import DeadLetters
from bridge.dispatcher import Dispatcher
from bridge.ledger import Ledger
from bridge.periodic import Periodic
from bridge.poller import Poller
from bridge.publisher import CeleryPublisher
from bridge.reconciler import Reconciler
from bridge.reporter import Reporter
from procos.app import make_app
from procos.domain.external_task import Topic
from procos.domain.retry import RetryPolicy
from procos.queues import PARKED, Queue, depths
from procos.routes import Route
from procos.testing import FakeEngine, FrozenClock
from procos.testing.samples import typed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.publisher import Publication, Receipt
    from procos.domain.external_task import ExternalTaskId
    from procos.settings import Settings

QUEUE = "generic"
LOST_AFTER = timedelta(seconds=4)
LOCK = timedelta(seconds=300)
POLICY = RetryPolicy(attempts=2, first_delay=timedelta(seconds=0.5), longest_delay=timedelta(seconds=0.5))
ROUTES = {
    Topic(topic): Route(task_name=name, queue=QUEUE, module="sample_tasks.plain", retry=POLICY)
    for topic, name in (
        ("values", "sample.sample_values"),
        ("fail", "sample.sample_fail"),
        ("sleep", "sample.sample_sleep"),
        ("plain", "sample.plain"),
        ("unheard_of", "sample.unheard_of"),
    )
}


class RealClock(FrozenClock):
    """A clock that cannot be stopped."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def milliseconds(self) -> int:
        return round(self.now().timestamp() * 1000)


class TamperingPublisher:
    """Publishes what the bridge wants to publish, as the test has changed it."""

    def __init__(self, publisher: CeleryPublisher) -> None:
        self._publisher = publisher
        self.tamper: Callable[[Sequence[Publication]], Sequence[Receipt] | None] = lambda _: None
        self.published: list[Publication] = []

    def ready(self) -> None:
        """Have a connection."""
        self._publisher.ready()

    def publish(self, publications: Sequence[Publication]) -> Sequence[Receipt]:
        """Publish a batch, unless the test does it."""
        self.published += publications
        return self.tamper(publications) or self._publisher.publish(publications)

    def close(self) -> None:
        """Close the connection."""
        self._publisher.close()


class BridgeLab:
    """The bridge's loops on threads of the test."""

    def __init__(self, settings: Settings, lost_after: timedelta = LOST_AFTER) -> None:
        self.engine = FakeEngine(RealClock())
        self.ledger = Ledger(settings.redis)
        self.ledger._redis.flushdb()  # every engine in memory counts its steps from one
        self._stop = threading.Event()
        self.publisher = TamperingPublisher(
            CeleryPublisher(make_app(settings, with_results=False), confirm_timeout=5, time_limit=timedelta(minutes=10))
        )
        reporter = Reporter(self.engine, self.ledger, ROUTES, is_ours="bridge/generic".__eq__, stop=self._stop)
        bulk = BulkReporter(self.engine, self.ledger, reporter)
        self._callbacks = Callbacks(reporter, bulk, self.ledger, settings.broker, completers=2, queues=[QUEUE])
        dead_letters = DeadLetters(reporter, self.ledger, settings.broker, queues=[QUEUE])
        reconciler = Reconciler(
            self.engine,
            self.ledger,
            reporter,
            ROUTES,
            queues=[QUEUE],
            depths=lambda: depths(settings.broker, [QUEUE, Queue.CALLBACKS, PARKED]),
            lost_after=lost_after,
            largest_age=timedelta(hours=1),
        )
        jobs = [
            Periodic(name="reconciler", turn=reconciler.turn, seconds=0.5),
            Periodic(name="poller", turn=partial(self._poller().turn, self._stop), seconds=0.1),
        ]
        targets = [
            partial(self._callbacks.run, self._stop),
            partial(dead_letters.run, self._stop),
            *(partial(job.run, self._stop, lambda: None) for job in jobs),
        ]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def step(self, topic: str, **variables: object) -> ExternalTaskId:
        """Let an instance arrive at a step."""
        return self.engine.add(topic, variables=typed(**variables))

    def verdict(self, task_id: ExternalTaskId) -> str:
        """Return how a step ended: completed, or the message of its incident; empty while it is open."""
        return "completed" if task_id in self.engine.completed else self.engine.incidents.get(task_id, "")

    def close(self) -> None:
        """Stop every loop."""
        self._stop.set()
        self._callbacks.wake()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        self.publisher.close()

    def _poller(self) -> Poller:
        dispatcher = Dispatcher(
            self.engine, self.ledger, self.publisher, ROUTES, queue=QUEUE, lease=LOCK, stop=self._stop
        )
        return Poller(
            self.engine,
            dispatcher,
            ROUTES,
            Budget(self.ledger, QUEUE, capacity=100, least=100),
            holder="bridge/generic",
            lock_duration=LOCK,
            wait=timedelta(0),
        )
