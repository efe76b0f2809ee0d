"""Asks the engine for work, one poller per queue: long polls, in large steps, for no more than there is room for.

Small fetches cost the engine most, so when room frees in dribbles the poller waits a moment for more of it. A parked
poll is woken by new tasks only; for retries that fall due `Retries` sends a plain fetch, which does not disturb it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos import metrics
from procos.domain.errors import EngineBusyError, ProcosError, PublishRefusedError
from procos.domain.external_task import Topic
from procos.engine.protocol import EVERYTHING, Filter, Subscription
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from bridge.dispatcher import Dispatcher
    from bridge.ledger import Ledger
    from procos.domain.external_task import ExternalTask
    from procos.engine.protocol import Engine
    from procos.routes import Route

LARGEST_FETCH = 100
GOOD_PART = 25
"""Room worth a fetch at once; for less, the poller waits `PATIENCE` seconds for more, if the engine has a backlog."""
PATIENCE = 0.02
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0)
RETRY_CHECK_SECONDS = 1.0
STOP_TOPIC = Topic("procos.stop")
NO_WAIT = timedelta(0)

log = get_logger(__name__)


class Poller:
    """Fetches the topics of one queue under the worker id `<replica>/<queue>`."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        dispatcher: Dispatcher,
        routes: Mapping[Topic, Route],
        *,
        holder: str,
        queue: str,
        capacity: int,
        lock_duration: timedelta,
        wait: timedelta,
        only: Filter = EVERYTHING,
    ) -> None:
        self._engine, self._ledger, self._dispatcher = engine, ledger, dispatcher
        self.holder, self.queue = holder, queue
        self._capacity, self._wait = capacity, wait
        self._backlog = False
        self._subscriptions = [
            Subscription(
                topic=topic,
                lock_duration=route.lock_duration or lock_duration,
                variables=route.variables,
                only=only,
            )
            for topic, route in routes.items()
        ]

    def run(self, stop: threading.Event, beat: Callable[[], None] = lambda: None) -> None:
        """Fetch and dispatch until stopped; an error pauses fetching, and nothing ends it."""
        failures = 0
        while not stop.is_set():
            beat()
            try:
                self.turn(stop)
                failures = 0
            except EngineBusyError as error:
                # Once is how our engine ends a parked poll; again is an engine in trouble.
                if failures:
                    self._pause(error, failures, stop)
                else:
                    stop.wait(BACK_OFF_SECONDS[0])
                failures += 1
            except Exception as error:  # the loop outlives everything: a poller that ends is a queue that stops
                if not isinstance(error, ProcosError):
                    log.exception("poller.failed", queue=self.queue)
                self._pause(error, failures, stop)
                failures += 1

    def turn(self, stop: threading.Event) -> None:
        """Do one fetch, and dispatch what it brought."""
        room = self._room(stop)
        if room > 0 and not stop.is_set():
            self._fetch(room, self._wait)

    def fetch_now(self) -> None:
        """Fetch without waiting at the engine, beside a parked poll."""
        room = self._capacity - self._ledger.in_flight(self.queue)
        if room > 0:
            self._fetch(room, NO_WAIT)

    def release(self) -> None:
        """End the parked poll: a second one under the same worker id makes our engine answer the first."""
        subscription = Subscription(topic=STOP_TOPIC, lock_duration=timedelta(seconds=5), variables=())
        self._engine.fetch_and_lock(self.holder, [subscription], max_tasks=1, wait=timedelta(milliseconds=1))

    def _fetch(self, room: int, wait: timedelta) -> None:
        asked = min(room, LARGEST_FETCH)
        with metrics.fetching(self.queue):
            fetched: Sequence[ExternalTask] = self._engine.fetch_and_lock(
                self.holder, self._subscriptions, max_tasks=asked, wait=wait
            )
        self._backlog = len(fetched) == asked
        if fetched:
            self._dispatcher.dispatch(fetched)

    def _room(self, stop: threading.Event) -> int:
        in_flight = self._ledger.in_flight(self.queue)
        metrics.in_flight(self.queue, in_flight, capacity=self._capacity)
        room = self._capacity - in_flight
        if room <= 0 or (self._backlog and room < min(GOOD_PART, self._capacity)):
            stop.wait(PATIENCE)
            room = self._capacity - self._ledger.in_flight(self.queue)
        return room

    def _pause(self, error: Exception, failures: int, stop: threading.Event) -> None:
        seconds = BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)]
        log.warning("poller.paused", queue=self.queue, seconds=seconds, reason=str(error))
        stop.wait(seconds)


class Retries:
    """Fetches for every queue when a retry falls due, since the engine does not wake a parked poll for it."""

    def __init__(self, ledger: Ledger, pollers: Sequence[Poller], *, beat: Callable[[], None] = lambda: None) -> None:
        self._ledger, self._pollers, self._beat = ledger, pollers, beat

    def turn(self, stop: threading.Event) -> None:
        """Wait for a retry that falls due before the next turn, and fetch it."""
        due_in = self._ledger.until_next_retry()
        if due_in is None or due_in > RETRY_CHECK_SECONDS:
            return
        stop.wait(due_in + 0.005)
        for poller in self._pollers:
            self._beat()
            try:
                poller.fetch_now()
            except PublishRefusedError as error:  # about this queue alone; the others' retries are due too
                log.warning("retries.refused", queue=poller.queue, reason=str(error))
