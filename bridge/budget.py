"""How much of a queue may be in flight: what its workers want in the next two seconds, never what the engine has.

A queue gets twice the slots of its live workers, or what they start in two seconds where that is more: enough that no
slot waits for a fetch, and no more, because what is fetched has left the engine's order of priority and can be seen in
Cockpit as locked only. Everything that is fetched and not reported counts, over all replicas; so results that wait in
the outbox, while the engine is away, end the fetching by themselves. Starts are counted, not ends: those of an outage,
which waited in the outbox, come all at once and say nothing of what workers want. As many starts as there are slots are
left out of each count, since they may have filled what was idle, and say nothing of how fast it is done.

What workers start is limited by what was fetched before. So the rate is the highest of the last seconds, and the time
that fetches take is added: else a slow engine would make the budget smaller, and that the rate, down to the least.

A poll that is parked keeps the number it was parked with. That is never the reason to end it: it answers at the first
task that arrives, and the poller asks anew at once with the number of that moment.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

from procos import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bridge.ledger import Ledger
    from procos.caps import Cap

AHEAD_SECONDS = 2.0
FETCHES_AHEAD = 2
LONGEST_FETCH_SECONDS = 5.0
WINDOW_SECONDS = 4.0
OBSERVED_EVERY_SECONDS = 0.5
TURN_SECONDS = 1.0


class Drain:
    """The rate at which workers start what is on a queue, at its highest within the window."""

    def __init__(self, window: float = WINDOW_SECONDS) -> None:
        self._window = window
        self._counts: deque[tuple[float, int]] = deque()
        self._slots = 0

    def note(self, moment: float, starts: int, slots: int = 0) -> None:
        """Take the count of a moment; one below the last was begun anew, after a flush."""
        if self._counts and starts < self._counts[-1][1]:
            self._counts.clear()
        self._slots = slots
        self._counts.append((moment, starts))
        # The youngest count that is a window old stays: the first rate is taken from there.
        while len(self._counts) > 1 and self._counts[1][0] <= moment - self._window:
            self._counts.popleft()

    @property
    def per_second(self) -> float:
        """The highest rate between two counts, without the starts that only filled slots which were idle."""
        return max((_rate(*counts, self._slots) for counts in pairwise(self._counts)), default=0.0)


def limit_of(*, capacity: int, least: int, slots: int, per_second: float, fetch_seconds: float = 0.0) -> int:
    """Return how many may be in flight: what is wanted, within what the settings allow."""
    ahead = AHEAD_SECONDS + FETCHES_AHEAD * min(fetch_seconds, LONGEST_FETCH_SECONDS)
    return min(capacity, max(least, 2 * slots, math.ceil(ahead * per_second)))


class Budget:
    """What one queue may have in flight; shared by all that fetch for it."""

    def __init__(
        self, ledger: Ledger, queue: str, *, capacity: int, least: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger, self.queue, self._clock = ledger, queue, clock
        self._capacity, self._least = capacity, least
        self._turn = threading.Lock()
        self._drain = Drain()
        self._observed_at = -math.inf
        self._fetch_seconds = 0.0
        self.limit = min(capacity, least)

    def room(self, caps: Sequence[Cap] = (), *, bringing: int = 0) -> int:
        """Return how many more may be fetched, of topics with these caps; may be less than nothing.

        So many as are `bringing` their files yet take no place, but will: fetched beyond them, steps would have their
        files brought, find no place, and be fetched again, each time one of them ends.

        Raises:
            LedgerUnreachableError: Redis does not answer.
        """
        self.observe()
        usage = self._ledger.usage(self.queue, caps)
        metrics.in_flight(self.queue, usage.in_flight, capacity=self._capacity)
        return min([self.limit - usage.in_flight, *(cap.at_once - usage.taken[cap.name] - bringing for cap in caps)])

    def note_fetch(self, seconds: float) -> None:
        """Learn how long it takes until what the engine has is with the workers: up at once, down by halves."""
        self._fetch_seconds = max(seconds, (self._fetch_seconds + seconds) / 2)

    def observe(self) -> None:
        """Look at the demand, unless that was done a moment ago."""
        with self._turn:
            now = self._clock()
            if now - self._observed_at < OBSERVED_EVERY_SECONDS:
                return
            demand = self._ledger.demand(self.queue)
            self._observed_at = now
            self._drain.note(now, demand.starts, demand.slots)
            per_second = self._drain.per_second
            self.limit = limit_of(
                capacity=self._capacity,
                least=self._least,
                slots=demand.slots,
                per_second=per_second,
                fetch_seconds=self._fetch_seconds,
            )
        metrics.budget(self.queue, self.limit, slots=demand.slots, per_second=per_second)


def observe_all(budgets: Iterable[Budget]) -> None:
    """Look at the demand of every queue, also while no poller of it turns: the rate is then known when one does."""
    for budget in budgets:
        budget.observe()


def _rate(earlier: tuple[float, int], later: tuple[float, int], slots: int) -> float:
    seconds, starts = later[0] - earlier[0], later[1] - earlier[1]
    return max(0, starts - slots) / seconds if seconds > 0 else 0.0
