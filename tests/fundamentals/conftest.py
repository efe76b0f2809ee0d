"""A bridge and its workers in memory: `System.turn` does what the daemon's threads do all the time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.budget import Budget
from bridge.dispatcher import Dispatcher
from bridge.lease_keeper import LeaseKeeper
from bridge.poller import Poller
from bridge.reporter import Reporter
from procos.domain.external_task import Topic
from procos.domain.outcome import Completion, Outcome, outcome_of
from procos.domain.retry import RetryPolicy
from procos.routes import Route
from procos.testing import FakeEngine, FakeLedger, InstantStop, RecordingPublisher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.publisher import Publication

LEASE = timedelta(seconds=20)
GREETING = Route(
    task_name="procos.greeting",
    queue="ai",
    module="",
    retry=RetryPolicy(attempts=3, first_delay=timedelta(seconds=10)),
)


class System:
    """An engine, a ledger, a broker and everything between them, on one clock that stands still."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.clock = self.engine.clock
        self.ledger = FakeLedger(self.clock)
        self.broker = RecordingPublisher()
        table = {Topic("greeting"): GREETING}
        stop = InstantStop()
        self._dispatcher = Dispatcher(self.engine, self.ledger, self.broker, table, queue="ai", lease=LEASE, stop=stop)
        self._poller = Poller(
            self.engine,
            self._dispatcher,
            table,
            Budget(self.ledger, "ai", capacity=100, least=100),
            holder="bridge/ai",
            lock_duration=LEASE,
            wait=timedelta(0),
        )
        self._keeper = LeaseKeeper(self.engine, self.ledger, ["ai"], lock_duration=LEASE)
        self._reporter = Reporter(self.engine, self.ledger, table, is_ours="bridge/ai".__eq__, stop=stop)
        self._stop = stop

    def turn(self) -> list[Publication]:
        """Fetch and publish what there is, keep what is in flight; returns what was published."""
        before = len(self.broker.published)
        self._poller.turn(self._stop)
        self._keeper.turn(self._stop)
        return self.broker.published[before:]

    def work(self, publication: Publication, task: Callable[..., Mapping[str, object]]) -> Outcome:
        """Run the task as a worker would, and bring its outcome to the engine."""
        try:
            outcome: Outcome = Completion(variables=task(**publication.dispatch.variables))
        except Exception as error:  # noqa: BLE001  # as the worker does
            outcome = outcome_of(error)
        self._reporter.report(publication.dispatch.ref, outcome)
        return outcome

    def pass_time(self, *, seconds: int) -> None:
        """Let time pass second by second, with the bridge awake."""
        for _ in range(seconds):
            self.clock.advance(seconds=1)
            self._keeper.turn(self._stop)


@pytest.fixture
def system() -> System:
    return System()
