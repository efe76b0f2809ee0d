"""Finds external tasks that are ours at the engine and that nobody works on, and has them dispatched.

That happens when the engine's answer to a fetch was lost, or a bridge died between fetch and publication. Unlocking is
enough: the next fetch brings the task again, with its variables, and through the same reservation. After Redis has lost
its data it is the other way round: what is ours at the engine is under way, and only the ledger does not know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.errors import LeaseLostError, TaskGoneError
from procos.ledger_keys import State
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.ledger import Ledger
    from bridge.ledger_values import InFlight, Known
    from bridge.registry import Registry
    from procos.domain.external_task import ExternalTask, ExternalTaskId, Token
    from procos.engine.protocol import Engine

TURN_SECONDS = 30.0
IN_HAND_FOR = timedelta(seconds=10)
"""How old a reservation must be before nobody can still be about to publish it."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The worker ids of this bridge, by the queue each fetches for."""

    replica_id: str
    queues: tuple[str, ...]

    def __iter__(self) -> Iterator[str]:
        return (self.of(queue) for queue in self.queues)

    def of(self, queue: str) -> str:
        """Return the worker id that fetches for a queue."""
        return f"{self.replica_id}/{queue}"


class Orphans:
    """Sees to this bridge's external tasks, and to those of bridges that are gone; belongs to one thread."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        registry: Registry,
        holders: Holders,
        *,
        has_in_hand: Callable[[ExternalTaskId], bool],
        lock_duration: timedelta,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._ledger, self._registry, self._holders = engine, ledger, registry, holders
        self._has_in_hand, self._lock_duration, self._beat = has_in_hand, lock_duration, beat
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
            ours = [entry for entry in self._reserved() if entry.ref.holder in set(self._holders)]
            self._release(self._own_orphans(), ours)

    def recover(self) -> None:
        """Write anew the entries of what is under way, after Redis has lost them.

        A step with a count of retries may just as well wait for its next try, so its lock is left to run out.
        """
        for holder in self._holders:
            self._registry.register_holder(holder)
        mine = {queue: self._engine.held_by(self._holders.of(queue)) for queue in self._holders.queues}
        self._left_alone = frozenset(_key(task) for tasks in mine.values() for task in tasks if task.retries)
        for queue, tasks in mine.items():
            under_way = [task for task in tasks if task.retries is None]
            rebuilt = self._ledger.rebuild(under_way, queue, self._lock_duration)
            if tasks:
                log.warning("ledger.rebuilt", queue=queue, entries=rebuilt, left_alone=len(tasks) - len(under_way))

    def turn(self) -> None:
        """Release what was there in the turn before this one too."""
        orphans = [*self._own_orphans(), *self._orphans_of_the_dead()]
        known_before = [task for task in orphans if _key(task) in self._seen]
        self._seen = frozenset(_key(task) for task in orphans)
        self._release(known_before, [entry for entry in self._reserved() if self._is_abandoned(entry)])

    def _own_orphans(self) -> list[ExternalTask]:
        return [task for holder in self._holders for task in self._orphans_among(self._engine.held_by(holder))]

    def _orphans_of_the_dead(self) -> list[ExternalTask]:
        """List those of bridges that are gone; a worker id that holds nothing more is forgotten."""
        orphans = []
        for holder in self._holders_of_the_dead():
            self._beat()
            if held := self._engine.held_by(holder):
                orphans += self._orphans_among(held)
            else:
                self._registry.forget_holder(holder)
        return orphans

    def _orphans_among(self, held: Sequence[ExternalTask]) -> list[ExternalTask]:
        # Without retries left it is an incident, which waits for a person.
        held = [task for task in held if task.retries != 0]
        known = self._ledger.known([task.id for task in held])
        return [task for task in held if self._is_orphan(task, known) and _key(task) not in self._left_alone]

    def _is_orphan(self, task: ExternalTask, known: Mapping[ExternalTaskId, Known]) -> bool:
        if self._has_in_hand(task.id):
            return False
        entry = known.get(task.id)
        if entry is None or entry.state is State.LOST:
            return True
        if entry.state is not State.BACKING_OFF or entry.due_at is None or task.lease is None:
            return False
        # Its lock would end when the retry is due; one that ends much later is of a fetch since then.
        return task.lease.token - entry.due_at > self._lock_duration.total_seconds() * 500

    def _holders_of_the_dead(self) -> list[str]:
        """List the worker ids of bridges that are gone."""
        others = self._registry.holders() - set(self._holders)
        return [holder for holder in others if not self._registry.is_alive(holder.rpartition("/")[0])]

    def _reserved(self) -> list[InFlight]:
        entries = [entry for queue in self._holders.queues for entry in self._ledger.list_in_flight(queue)]
        return [entry for entry in entries if entry.state is State.RESERVED]

    def _is_abandoned(self, entry: InFlight) -> bool:
        if self._has_in_hand(entry.ref.external_task_id) or entry.silence < IN_HAND_FOR:
            return False
        replica_id = entry.ref.holder.rpartition("/")[0]
        return replica_id == self._holders.replica_id or not self._registry.is_alive(replica_id)

    def _release(self, orphans: Sequence[ExternalTask], reserved: Sequence[InFlight]) -> None:
        """Have the engine offer them again; what is reserved is then published under the Celery id it has."""
        for task_id in {*(task.id for task in orphans), *(entry.ref.external_task_id for entry in reserved)}:
            self._beat()
            log.info("orphan.released", external_task_id=task_id)
            try:
                self._engine.unlock(task_id)
            except (TaskGoneError, LeaseLostError) as error:
                log.info("orphan.gone", external_task_id=task_id, reason=str(error))


def _key(task: ExternalTask) -> tuple[ExternalTaskId, Token | None]:
    return task.id, task.lease.token if task.lease else None
