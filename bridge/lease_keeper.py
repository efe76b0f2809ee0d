"""Keeps the engine from giving out again what is in flight: extends every lease at half-time, queue wait included.

A lease that ran out (the engine was down, or this bridge) is taken again only if the engine still names the same
holder; steps that back off or are being reported are left alone, since a lock would cut the engine's retry timer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos import metrics
from procos.domain.errors import EngineError, EngineRejectedError, LeaseLostError, TaskGoneError
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from bridge.ledger import Ledger
    from bridge.ledger_values import HeldLease
    from procos.engine.protocol import Engine

TURN_SECONDS = 1.0
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
    ) -> None:
        self._engine, self._ledger, self._queues = engine, ledger, tuple(queues)
        self._lock_duration, self._beat = lock_duration, beat

    def turn(self, stop: threading.Event) -> None:
        """Extend everything that is due now."""
        for queue in self._queues:
            due = self._ledger.claim_due_leases(queue, BATCH)
            while due and not stop.is_set():
                for lease in due:
                    self._keep(lease, queue)
                due = self._ledger.claim_due_leases(queue, BATCH) if len(due) == BATCH else []

    def _keep(self, lease: HeldLease, queue: str) -> None:
        self._beat()
        if not lease.known:
            self._ledger.drop_lease(lease.external_task_id, queue)
            return
        try:
            self._look_after(lease)
        except TaskGoneError:
            log.debug("lease.step_gone", external_task_id=lease.external_task_id)  # the watcher sees to it
            metrics.extended(metrics.Extension.GONE)
        except EngineError as error:
            log.warning("lease.not_extended", external_task_id=lease.external_task_id, reason=str(error))
            metrics.extended(metrics.Extension.REFUSED)
        else:
            self._ledger.mark_extended(lease, queue)

    def _look_after(self, lease: HeldLease) -> None:
        """Extend a published dispatch; one that is only reserved must run out, but its step may be gone."""
        if lease.extendable:
            self._extend(lease)
        else:
            self._engine.find(lease.external_task_id)

    def _extend(self, lease: HeldLease) -> None:
        # What a worker's sign of life has written anew knows no duration.
        duration = timedelta(milliseconds=lease.milliseconds) or self._lock_duration
        try:
            self._engine.extend(lease.external_task_id, lease.holder, duration)
            metrics.extended(metrics.Extension.EXTENDED)
        except (LeaseLostError, EngineRejectedError):
            task = self._engine.find(lease.external_task_id)
            if task.lease is None or task.lease.holder != lease.holder:
                raise
            self._engine.lock(lease.external_task_id, lease.holder, duration)
            log.warning("lease.taken_again", external_task_id=lease.external_task_id)
            metrics.extended(metrics.Extension.TAKEN_AGAIN)
