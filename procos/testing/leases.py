"""The ledger's leases in memory: what is in flight, what falls due, and what one replica takes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.leases import CLAIM_MILLISECONDS, EARLY_MILLISECONDS
from bridge.ledger_values import HeldLease
from procos.domain.external_task import ExternalTaskId, Token
from procos.ledger_keys import State
from procos.testing.entries import WorkersSide, milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta


class LeasesSide(WorkersSide):
    """What `bridge.leases` does on Redis."""

    def ids_in_flight(self, queue: str, state: State | None = None) -> list[ExternalTaskId]:
        """List what is in flight, the next due first, or what of it is in one state."""
        self.ping()
        in_order = sorted(self.leases.get(queue, {}).items(), key=lambda lease: lease[1])
        ids = [ExternalTaskId(task_id) for task_id, _ in in_order]
        return [i for i in ids if state is None or (i in self.entries and self.entries[i].state is state)]

    def due_within(self, queue: str, horizons: Sequence[timedelta]) -> list[int]:
        """Count the leases that fall due within each of these times."""
        self.ping()
        now, moments = self.clock.milliseconds(), self.leases.get(queue, {}).values()
        return [sum(moment <= now + milliseconds(horizon) for moment in moments) for horizon in horizons]

    def claim_due_leases(self, queue: str, limit: int, *, share: int = 0) -> list[HeldLease]:
        """Take the leases that are at half-time, and others up to the share of this turn."""
        self.ping()
        now, leases = self.clock.milliseconds(), self.leases.get(queue, {})
        in_order = sorted((moment, key) for key, moment in leases.items())
        due = [each for each in in_order if each[0] <= now][:limit]
        if len(due) < share and self.early_until.get(queue, now) <= now:
            self.early_until[queue] = now + EARLY_MILLISECONDS
            due += [each for each in in_order if each[0] > now + CLAIM_MILLISECONDS][: share - len(due)]
        leases.update({key: now + CLAIM_MILLISECONDS for _, key in due})
        return [self._held(key) for _, key in due]

    def _held(self, key: str) -> HeldLease:
        entry = self.entries.get(key)
        return HeldLease(
            external_task_id=ExternalTaskId(key),
            holder=entry.holder if entry else "",
            token=Token(entry.token if entry else 0),
            milliseconds=entry.lease_ms if entry else 0,
            known=entry is not None,
            extendable=entry is not None and entry.state in {State.PUBLISHED, State.STARTED},
        )

    def mark_extended(self, lease: HeldLease, queue: str) -> State | None:
        """Note that the engine extended this lease."""
        self.ping()
        leases = self.leases.get(queue, {})
        if lease.external_task_id in leases:
            leases[lease.external_task_id] = self.clock.milliseconds() + lease.milliseconds // 2
        entry = self.entries.get(lease.external_task_id)
        return entry.state if entry else None

    def drop_lease(self, external_task_id: ExternalTaskId, queue: str) -> None:
        """Stop extending a lease."""
        self.ping()
        self._drop(queue, external_task_id)
