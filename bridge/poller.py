"""Asks the engine for work: long polls, in large steps, for no more than there is room for.

Each queue has a poller for its topics without caps, and one for each group of topics with the same caps
(`procos.caps`); all of a queue share its `Budget`. Small fetches cost the engine most, so when room frees in dribbles
the poller waits a moment for more of it. A parked poll is woken by new tasks only; for retries that fall due `Retries`
sends a plain fetch, which does not disturb it.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from bridge.fairness import Fairness
from bridge.parked_poll import end_parked_poll
from procos import metrics
from procos.domain.errors import EngineBusyError, ProcosError, PublishRefusedError
from procos.engine.subscription import EVERYTHING, Filter, Subscription
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Mapping, Sequence

    from bridge.budget import Budget
    from bridge.dispatcher import Dispatcher
    from bridge.ledger import Ledger
    from procos.caps import Cap
    from procos.domain.external_task import ExternalTask, Topic
    from procos.engine.protocol import Engine
    from procos.routes import Route

LARGEST_FETCH = 100
GOOD_PART = 4
"""One part in so many of what may be in flight is worth a fetch at once, if the engine has a backlog."""
PATIENCE = (0.02, 0.02, 0.02, 0.02, 0.02, 0.05, 0.05, 0.1)
"""Seconds to wait for more room, again and again; then less than a good part is fetched."""
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0)
RETRY_CHECK_SECONDS = 1.0
FILES_END_SECONDS = 1.0
"""What a bridge that ends waits for files on their way: pollers have a few seconds in all."""
NO_WAIT = timedelta(0)

log = get_logger(__name__)


class Poller:
    """Fetches one group of topics of a queue under a worker id of its own, and so with parked polls of its own."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        routes: Mapping[Topic, Route],
        budget: Budget,
        *,
        holder: str,
        caps: Sequence[Cap] = (),
        lock_duration: timedelta,
        wait: timedelta,
        only: Filter = EVERYTHING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._dispatcher, self.budget, self._caps = engine, dispatcher, budget, caps
        self.holder, self.queue = holder, budget.queue
        self._wait, self._clock = wait, clock
        self._backlog = False
        self._fairness = Fairness(routes)
        self._subscriptions = {
            topic: Subscription(
                topic=topic,
                lock_duration=route.lock_duration or lock_duration,
                variables=route.variables,
                only=only,
            )
            for topic, route in routes.items()
        }

    @property
    def name(self) -> str:
        """Name it within its bridge: its queue, and its group if it has one."""
        return self.holder.partition("/")[2]

    def run(self, stop: threading.Event, beat: Callable[[], None] = lambda: None) -> None:
        """Fetch and dispatch until stopped; an error pauses fetching, and nothing ends it."""
        try:
            self._run(stop, beat)
        finally:
            self._dispatcher.await_files(FILES_END_SECONDS, ending=True)

    def _run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
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
                    log.exception("poller.failed", poller=self.name)
                self._pause(error, failures, stop)
                failures += 1

    def turn(self, stop: threading.Event) -> None:
        """Fetch once, and dispatch what that brought; before it, topics that another holds up, for a part of the room.

        Raises:
            BrokerUnreachableError, LedgerUnreachableError: nothing was fetched.
        """
        room = self._room(stop)
        if room <= 0 or stop.is_set():
            return
        self._dispatcher.ready()
        if others := self._fairness.first(room, self._clock()):
            asked = min(others.room, LARGEST_FETCH)
            fetched = self._fetch(others.topics, asked, NO_WAIT)
            self._fairness.note_first([task.topic for task in fetched], asked, self._clock())
            room -= len(fetched)
        if room > 0:
            self._fetch_all(min(room, LARGEST_FETCH))

    def fetch_now(self) -> None:
        """Fetch without waiting at the engine, beside a parked poll."""
        room = self._free()
        if room > 0:
            self._dispatcher.ready()
            self._fetch(self._subscriptions, min(room, LARGEST_FETCH), NO_WAIT)

    def release(self) -> None:
        """End the parked poll."""
        end_parked_poll(self._engine, self.holder)

    def _fetch_all(self, asked: int) -> None:
        began, had_backlog = self._clock(), self._backlog
        fetched = self._fetch(self._subscriptions, asked, self._wait)
        self._fairness.note_all([task.topic for task in fetched], asked)
        self._backlog = len(fetched) == asked
        if had_backlog and self._backlog:  # else it may have waited at the engine
            self.budget.note_fetch(self._clock() - began)

    def _fetch(self, topics: Collection[Topic], asked: int, wait: timedelta) -> Sequence[ExternalTask]:
        subscriptions = [subscription for topic, subscription in self._subscriptions.items() if topic in topics]
        with metrics.fetching(self.queue):
            fetched: Sequence[ExternalTask] = self._engine.fetch_and_lock(
                self.holder, subscriptions, max_tasks=asked, wait=wait
            )
        if fetched:
            self._dispatcher.dispatch(fetched)
        return fetched

    def _free(self) -> int:
        return self.budget.room(self._caps, bringing=self._dispatcher.bringing(self._subscriptions))

    def _room(self, stop: threading.Event) -> int:
        """Return the room there is, after a wait for some, or for a good part where the engine has a backlog."""
        room = self._free()
        for seconds in PATIENCE:
            if room >= (self._good_part() if self._backlog else 1) or stop.wait(seconds):
                break
            room = self._free()
        return room

    def _good_part(self) -> int:
        most = min([self.budget.limit, *(cap.at_once for cap in self._caps)])
        return max(1, min(LARGEST_FETCH, most // GOOD_PART))

    def _pause(self, error: Exception, failures: int, stop: threading.Event) -> None:
        seconds = BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)]
        log.warning("poller.paused", poller=self.name, seconds=seconds, reason=str(error))
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
        if stop.wait(due_in + 0.005):
            return
        for poller in self._pollers:
            self._beat()
            try:
                poller.fetch_now()
            except PublishRefusedError as error:  # about this queue alone; the others' retries are due too
                log.warning("retries.refused", poller=poller.name, reason=str(error))
