"""Finds steps that ended without us: deleted, modified, or left by a boundary event; and tells whoever works for them.

What is started is asked for every turn, the rest less often. A step counts as gone when the engine has answered so
twice, a turn apart: one that is just being reported is gone too, and its entry a moment later. What history knows as
completed was reported by a bridge that could not settle it any more, and is settled now. The mark in Redis is what
workers go by; Celery's revoke only spares a worker the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bridge.ledger_values import Ended
from bridge.reporter import Verdict
from bridge.settler import settle
from procos import metrics
from procos.domain.errors import EngineBusyError, EngineError, TaskGoneError
from procos.ledger_keys import State
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from bridge.ledger import Ledger
    from bridge.ledger_values import InFlight
    from procos.domain.external_task import ExternalTaskId
    from procos.engine.protocol import Engine

TURN_SECONDS = 2.0
TURNS_FOR_ALL = 5
"""Every so many turns the steps are asked for that no worker has started yet."""

log = get_logger(__name__)


class Revoker(Protocol):
    """Tells the workers that tasks need not be started."""

    def revoke(self, celery_ids: Sequence[str]) -> None:
        """Tell them; nothing is raised, since the mark in Redis counts."""


class Watcher:
    """Looks for cancelled steps; belongs to one thread."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        revoker: Revoker,
        queues: Iterable[str],
        *,
        lock_duration: timedelta,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._ledger, self._revoker, self._queues = engine, ledger, revoker, tuple(queues)
        self._lock_duration, self._beat = lock_duration, beat
        self._turns = 0
        self._suspects: Mapping[ExternalTaskId, str] = {}
        """What the engine did not know in the last turn, with its queue."""

    def turn(self) -> None:
        """Ask the engine for what is in flight, and cancel what it has not known twice."""
        everything = self._turns % TURNS_FOR_ALL == 0
        self._turns += 1
        watched = {queue: self._watched(queue, None if everything else State.STARTED) for queue in self._queues}
        if not any(watched.values()):
            return
        gone = [entry for entry in self._missing(watched) if self._is_gone(entry)]
        for_good = [entry for entry in gone if entry.ref.external_task_id in self._suspects]
        completed = [entry for entry in for_good if self._has_completed(entry)]
        settle(self._ledger, [Ended(ref=e.ref, queue=e.queue, outcome=Verdict.COMPLETED.value) for e in completed])
        self._cancel([entry for entry in for_good if entry not in completed])
        self._suspects = {entry.ref.external_task_id: entry.queue for entry in gone}

    def _watched(self, queue: str, state: State | None) -> list[ExternalTaskId]:
        ids = self._ledger.ids_in_flight(queue, state)
        return list(dict.fromkeys([*ids, *(i for i, where in self._suspects.items() if where == queue)]))

    def _missing(self, watched: Mapping[str, Sequence[ExternalTaskId]]) -> list[InFlight]:
        """Return the entries of what the engine does not know; most are known, and need not be read."""
        there = self._engine.which_exist([task_id for ids in watched.values() for task_id in ids])
        return [
            entry
            for queue, ids in watched.items()
            for entry in self._ledger.read_in_flight(queue, [task_id for task_id in ids if task_id not in there])
        ]

    def _is_gone(self, entry: InFlight) -> bool:
        """Make sure by a command: every question leaves out what its asker may not see, as if it were not there."""
        self._beat()
        task_id = entry.ref.external_task_id
        now = self._ledger.known([task_id]).get(task_id)
        if now is None or now.state in {State.REPORTING, State.BACKING_OFF}:  # whose lock is not ours to move
            return False
        try:
            self._engine.extend(entry.ref.external_task_id, entry.ref.holder, entry.lease or self._lock_duration)
        except TaskGoneError:
            return True
        except EngineBusyError:
            raise
        except EngineError:  # refused, so it is there
            return False
        return False

    def _has_completed(self, entry: InFlight) -> bool:
        self._beat()
        return self._engine.has_completed(entry.ref.external_task_id)

    def _cancel(self, entries: Sequence[InFlight]) -> None:
        for entry in entries:
            ref = entry.ref
            if self._ledger.cancel(ref, entry.queue):
                metrics.dropped(ref.topic, metrics.Drop.CANCELLED)
            log.info(
                "step.cancelled",
                external_task_id=ref.external_task_id,
                topic=ref.topic,
                process_instance_id=ref.process_instance_id,
                worker=entry.worker,
            )
        if ids := [entry.ref.celery_id for entry in entries if not entry.is_rebuilt]:
            self._revoker.revoke(ids)
