"""Keeps the engine from giving out again what is in flight: extends every lease at half-time, queue wait included.

A lease that ran out (the engine was down, or this bridge) is taken again only if the engine still names the same
holder; steps that back off or are being reported are left alone, since a lock would cut the engine's retry timer. So
each entry is read again right before its call: only a failure that is reported during that one call can meet it. With
thousands in flight, `pace` says which go before their time and by how much longer; what runs keeps its usual span.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from bridge.pace import HORIZONS, share, stretch
from procos import metrics
from procos.domain.errors import EngineError, EngineRejectedError, LeaseLostError, TaskGoneError
from procos.ledger_keys import State
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from bridge.ledger import Ledger
    from bridge.ledger_values import HeldLease
    from procos.engine.protocol import Engine

TURN_SECONDS = 1.0
TURN = timedelta(seconds=TURN_SECONDS)
LONGEST_TURN = 5 * TURN
BATCH = 200

log = get_logger(__name__)


class LeaseKeeper:
    """Extends the leases of every queue; replicas share the work through the ledger."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        queues: Iterable[str],
        *,
        lock_duration: timedelta,
        beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._ledger, self._queues = engine, ledger, tuple(queues)
        self._lock_duration, self._beat = lock_duration, beat
        self._clock, self._turned_at = clock, clock()

    def turn(self, stop: threading.Event) -> None:
        """Extend what is due now, one batch of each queue; what is left is due in the next turn."""
        since = self._since_last_turn()
        for queue in self._queues:
            due = self._ledger.due_within(queue, HORIZONS)
            for lease in self._ledger.claim_due_leases(queue, BATCH, share=share(due, since)):
                if stop.is_set():
                    return
                self._keep(lease, queue, in_flight=due[-1])

    def _since_last_turn(self) -> timedelta:
        """Return the time since the last turn began, which is longer than a turn where the engine is slow."""
        before, self._turned_at = self._turned_at, self._clock()
        return min(max(timedelta(seconds=self._turned_at - before), TURN), LONGEST_TURN)

    def _keep(self, lease: HeldLease, queue: str, *, in_flight: int) -> None:
        self._beat()
        if not lease.known:
            self._ledger.drop_lease(lease.external_task_id, queue)
            return
        try:
            kept = self._look_after(self._timed(lease), in_flight)
        except TaskGoneError:
            log.debug("lease.step_gone", external_task_id=lease.external_task_id)  # the watcher sees to it
            metrics.extended(metrics.Extension.GONE)
        except EngineError as error:
            log.warning("lease.not_extended", external_task_id=lease.external_task_id, reason=str(error))
            metrics.extended(metrics.Extension.REFUSED)
        else:
            if kept and self._ledger.mark_extended(kept, queue) is State.BACKING_OFF:
                # Its failure was reported during that call: the next try comes when this lease runs out.
                log.warning("lease.retry_moved", external_task_id=lease.external_task_id)

    def _timed(self, lease: HeldLease) -> HeldLease:
        """Return the lease with a duration: what a worker's sign of life has written anew knows none."""
        return replace(lease, milliseconds=lease.milliseconds or round(self._lock_duration.total_seconds() * 1000))

    def _look_after(self, lease: HeldLease, in_flight: int) -> HeldLease | None:
        """Extend a published dispatch; one that is only reserved must run out, but its step may be gone."""
        if not lease.extendable:
            self._engine.find(lease.external_task_id)
            return lease
        state = self._state_of(lease)
        if state is None:
            return None
        kept = _stretched(lease, in_flight) if state is State.PUBLISHED else lease
        self._extend(kept)
        return kept

    def _state_of(self, lease: HeldLease) -> State | None:
        """Return the state of the dispatch that was claimed; None if it failed, is being reported, or is past."""
        entry = self._ledger.known([lease.external_task_id]).get(lease.external_task_id)
        is_under_way = entry and entry.token == lease.token and entry.state in {State.PUBLISHED, State.STARTED}
        return entry.state if entry and is_under_way else None

    def _extend(self, lease: HeldLease) -> None:
        duration = timedelta(milliseconds=lease.milliseconds)
        try:
            self._engine.extend(lease.external_task_id, lease.holder, duration)
            metrics.extended(metrics.Extension.EXTENDED)
        except (LeaseLostError, EngineRejectedError):
            task = self._engine.find(lease.external_task_id)
            if task.lease is None or task.lease.holder != lease.holder or not self._state_of(lease):
                raise
            self._engine.lock(lease.external_task_id, lease.holder, duration)
            log.warning("lease.taken_again", external_task_id=lease.external_task_id)
            metrics.extended(metrics.Extension.TAKEN_AGAIN)


def _stretched(lease: HeldLease, in_flight: int) -> HeldLease:
    span = stretch(timedelta(milliseconds=lease.milliseconds), in_flight)
    return replace(lease, milliseconds=round(span.total_seconds() * 1000))
