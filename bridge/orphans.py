"""Sees to what this bridge itself holds at the engine and nobody works on, and to what a flush of Redis has taken.

At the start that is what an earlier run under the same replica id has left; later it comes of a fetch whose answer was
lost. After Redis has lost its data it is the other way round: what is ours at the engine is under way, and only the
ledger does not know it. What other bridges have left is `Succession`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.unclaimed import IN_HAND_FOR, sighting, sightings
from procos.ledger_keys import replica_of
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import timedelta

    from bridge.ledger import Ledger
    from bridge.ledger_values import InFlight
    from bridge.registry import Registry
    from bridge.unclaimed import Unclaimed
    from procos.domain.external_task import ExternalTask, ExternalTaskId, Token
    from procos.engine.protocol import Engine

TURN_SECONDS = 30.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The worker ids of this bridge, by the queue each fetches for, and the group of topics with caps."""

    replica_id: str
    queues: tuple[str, ...]
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By queue, those it has; without one it fetches for the topics without caps."""

    def __iter__(self) -> Iterator[str]:
        return (holder for queue in self.queues for holder in self.all_of(queue))

    def of(self, queue: str, group: str = "") -> str:
        """Return the worker id that fetches for a queue; whoever reads one finds the queue at its end."""
        return f"{self.replica_id}/{group}/{queue}" if group else f"{self.replica_id}/{queue}"

    def all_of(self, queue: str) -> list[str]:
        """Return every worker id that fetches for a queue."""
        return [self.of(queue, group) for group in sorted({"", *self.groups.get(queue, ())})]


class Orphans:
    """Sees to this bridge's own external tasks; belongs to one thread."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        registry: Registry,
        unclaimed: Unclaimed,
        holders: Holders,
        *,
        lock_duration: timedelta,
    ) -> None:
        self._engine, self._ledger, self._registry = engine, ledger, registry
        self._unclaimed, self._holders, self._lock_duration = unclaimed, holders, lock_duration
        self._must_recover = False
        self._seen: frozenset[tuple[ExternalTaskId, Token | None]] = frozenset()
        self._left_alone: frozenset[tuple[ExternalTaskId, Token | None]] = frozenset()

    def begin(self) -> None:
        """See to what an earlier run under this replica id has left, before anything is fetched."""
        for holder in self._holders:
            self._registry.register_holder(holder)
        self._must_recover |= self._registry.begin_epoch()
        if self._must_recover:  # and again where the engine does not answer now
            self.recover()
            self._must_recover = False
        else:
            self._release(self._orphans(), self._reserved())

    def recover(self) -> None:
        """Write anew the entries of what is under way, after Redis has lost them.

        A step with a count of retries may just as well wait for its next try, so its lock is left to run out.
        """
        for holder in self._holders:
            self._registry.register_holder(holder)
        mine = {
            queue: [task for holder in self._holders.all_of(queue) for task in self._engine.held_by(holder)]
            for queue in self._holders.queues
        }
        self._left_alone = sightings([task for tasks in mine.values() for task in tasks if task.retries])
        for queue, tasks in mine.items():
            under_way = [task for task in tasks if task.retries is None]
            rebuilt = self._ledger.rebuild(under_way, queue, self._lock_duration)
            if tasks:
                log.warning("ledger.rebuilt", queue=queue, entries=rebuilt, left_alone=len(tasks) - len(under_way))

    def turn(self) -> None:
        """Release what was there in the turn before this one too."""
        orphans = self._orphans()
        known_before = [task for task in orphans if sighting(task) in self._seen]
        self._seen = sightings(orphans)
        self._release(known_before, [entry for entry in self._reserved() if entry.silence >= IN_HAND_FOR])

    def _orphans(self) -> list[ExternalTask]:
        found = [task for holder in self._own() for task in self._unclaimed.held_by(holder)]
        return [task for task in found if sighting(task) not in self._left_alone]

    def _reserved(self) -> list[InFlight]:
        own = self._own()
        return [e for e in self._unclaimed.reserved(self._holders.queues) if e.ref.holder in own]

    def _own(self) -> frozenset[str]:
        """Return all worker ids of this bridge, those of groups included that an earlier route table had."""
        known = self._registry.holders()
        return frozenset(self._holders) | {each for each in known if replica_of(each) == self._holders.replica_id}

    def _release(self, orphans: Iterable[ExternalTask], reserved: Iterable[InFlight]) -> None:
        self._unclaimed.release([*(task.id for task in orphans), *(entry.ref.external_task_id for entry in reserved)])
