"""The ledger's numbers in memory: places of caps, slots of workers, and how many tries have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.ledger_values import Demand, Usage
from procos.domain.errors import LedgerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.caps import Cap
    from procos.domain.external_task import Topic
    from procos.testing.clock import FrozenClock

OVERDUE_MILLISECONDS = 60_000


class NumbersSide:
    """What is counted; `caps` are those of the topics that have some."""

    def __init__(self, clock: FrozenClock) -> None:
        self.clock = clock
        self.is_down = False
        self.caps: Mapping[Topic, Sequence[Cap]] = {}
        self.flush()

    def flush(self) -> None:
        """Lose everything."""
        self.leases: dict[str, dict[str, int]] = {}
        self.retries_due: dict[str, int] = {}
        self.taken: dict[str, set[str]] = {}
        self.slots: dict[str, dict[str, tuple[int, int]]] = {}
        self.starts: dict[str, int] = {}

    def ping(self) -> None:
        """Make sure that it answers."""
        if self.is_down:
            raise LedgerUnreachableError("memory", "connection refused")

    def in_flight(self, queue: str) -> int:
        """Count what is reserved, published or started on a queue."""
        self.ping()
        return len(self.leases.get(queue, {}))

    def usage(self, queue: str, caps: Sequence[Cap] = ()) -> Usage:
        """Count the same, and how many places of each cap are taken."""
        return Usage(in_flight=self.in_flight(queue), taken={cap.name: self._places_taken(cap) for cap in caps})

    def demand(self, queue: str) -> Demand:
        """Return what workers and ends tell of a queue."""
        self.ping()
        now = self.clock.milliseconds()
        shown = self.slots.get(queue, {})
        self.slots[queue] = {worker: (slots, until) for worker, (slots, until) in shown.items() if until > now}
        return Demand(slots=sum(slots for slots, _ in self.slots[queue].values()), starts=self.starts.get(queue, 0))

    def show_slots(self, worker: str, queues: Sequence[str], slots: int, ttl_ms: int) -> None:
        """Do what a worker does every few seconds."""
        self.ping()
        for queue in queues:
            self.slots.setdefault(queue, {})[worker] = (slots, self.clock.milliseconds() + ttl_ms)

    def until_next_retry(self) -> float | None:
        """Return the seconds until the next retry falls due, 0 for one that is overdue, or None."""
        self.ping()
        now = self.clock.milliseconds()
        self.retries_due = {key: due for key, due in self.retries_due.items() if due > now - OVERDUE_MILLISECONDS}
        return max(min(self.retries_due.values()) - now, 0) / 1000 if self.retries_due else None

    def _is_full(self, external_task_id: str, topic: Topic, queue: str) -> bool:
        return any(
            self._places_taken(cap) >= cap.at_once
            and external_task_id not in self.taken.get(cap.pairs(queue)[0][0], ())
            for cap in self.caps.get(topic, ())
        )

    def _take_places(self, external_task_id: str, topic: Topic, queue: str) -> None:
        for cap in self.caps.get(topic, ()):
            self.taken.setdefault(cap.pairs(queue)[0][0], set()).add(external_task_id)

    def _places_taken(self, cap: Cap) -> int:
        """Count those whose lease is there, and forget the others."""
        for queue in cap.queues:
            places = cap.pairs(queue)[0][0]
            self.taken[places] = self.taken.get(places, set()) & self.leases.get(queue, {}).keys()
        return sum(len(self.taken[cap.pairs(queue)[0][0]]) for queue in cap.queues)

    def _lease(self, queue: str, external_task_id: str, moment: int) -> None:
        self.leases.setdefault(queue, {})[external_task_id] = moment

    def _drop(self, queue: str, external_task_id: str) -> None:
        self.leases.get(queue, {}).pop(external_task_id, None)
