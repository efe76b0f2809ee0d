"""What a worker id of ours holds at the engine though nobody works on it, and how it is let go.

That happens when the engine's answer to a fetch was lost, or a bridge died between fetch and publication. Unlocking is
enough: the next fetch brings the task again, with its variables, and through the same reservation. `Orphans` looks for
a bridge's own, `Succession` for those of bridges that are gone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.errors import LeaseLostError, TaskGoneError
from procos.ledger_keys import State
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bridge.ledger import Ledger
    from bridge.ledger_values import InFlight, Known
    from procos.domain.external_task import ExternalTask, ExternalTaskId, Token
    from procos.engine.protocol import Engine

IN_HAND_FOR = timedelta(seconds=10)
"""How old a reservation must be before nobody can still be about to publish it."""

log = get_logger(__name__)


class Unclaimed:
    """Tells what nobody works on from what somebody does; may be shared by threads."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        *,
        has_in_hand: Callable[[ExternalTaskId], bool],
        lock_duration: timedelta,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._ledger = engine, ledger
        self._has_in_hand, self._lock_duration, self._beat = has_in_hand, lock_duration, beat

    def held_by(self, holder: str) -> list[ExternalTask]:
        """List what the engine has locked for a worker id and the ledger does not know to be under way."""
        # Without retries left it is an incident, which waits for a person.
        held = [task for task in self._engine.held_by(holder) if task.retries != 0]
        known = self._ledger.known([task.id for task in held])
        return [task for task in held if self._is_orphan(task, known)]

    def reserved(self, queues: Iterable[str]) -> list[InFlight]:
        """List what is reserved, and on nobody's way to the broker in this bridge."""
        entries = [entry for queue in queues for entry in self._ledger.list_in_flight(queue, State.RESERVED)]
        return [entry for entry in entries if not self._has_in_hand(entry.ref.external_task_id)]

    def release(self, ids: Iterable[ExternalTaskId]) -> None:
        """Have the engine offer them again; what is reserved is then published under the Celery id it has."""
        for task_id in set(ids):
            self._beat()
            log.info("orphan.released", external_task_id=task_id)
            try:
                self._engine.unlock(task_id)
            except (TaskGoneError, LeaseLostError) as error:
                log.info("orphan.gone", external_task_id=task_id, reason=str(error))

    def _is_orphan(self, task: ExternalTask, known: Mapping[ExternalTaskId, Known]) -> bool:
        if self._has_in_hand(task.id):
            return False
        entry = known.get(task.id)
        if entry is None or entry.state is State.LOST:
            return True
        if entry.state is not State.BACKING_OFF or entry.due_at is None or task.lease is None:
            return False
        # Until then its lock is the wait for the retry, whatever the clocks say of each other.
        if not entry.is_due:
            return False
        # That lock would have ended when the retry was due; one that ends much later is of a fetch since then.
        return task.lease.token - entry.due_at > self._lock_duration.total_seconds() * 500


def sightings(tasks: Sequence[ExternalTask]) -> frozenset[tuple[ExternalTaskId, Token | None]]:
    """Return what tells a task that is seen again under the same lock."""
    return frozenset(sighting(task) for task in tasks)


def sighting(task: ExternalTask) -> tuple[ExternalTaskId, Token | None]:
    """Return a task and its lock."""
    return task.id, task.lease.token if task.lease else None
