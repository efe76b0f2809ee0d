"""The ledger in memory: what the scripts of `procos.ledger_keys` do, step for step, on a clock of the test's own.

It is a twin, not a simplification: the contract cases run against this and the ledger on Redis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.ledger import CLAIM_MILLISECONDS, HeldLease, Ledger, ReportClaim, Reservation, Reserved
from procos.domain.errors import LedgerUnreachableError
from procos.domain.external_task import ExternalTaskId, Token
from procos.ledger_keys import State
from procos.testing.clock import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from procos.domain.dispatch import DispatchRef

UNDER_WAY = {State.PUBLISHED, State.STARTED, State.REPORTING}


@dataclass(slots=True, kw_only=True)
class Entry:
    """One entry, as Redis keeps it in a hash."""

    state: State
    token: int
    holder: str = ""
    lease_ms: int = 0
    starts: int = 0
    worker: str = ""
    retries: int | None = None


class FakeLedger(Ledger):
    """The `Ledger` in memory; its entries, leases and closed steps may be looked at."""

    def __init__(self, clock: FrozenClock | None = None) -> None:
        self.address = "memory"
        self.clock = clock or FrozenClock()
        self.is_down = False
        self.entries: dict[str, Entry] = {}
        self.leases: dict[str, dict[str, int]] = {}
        self.retries_due: dict[str, int] = {}
        self.closed: dict[str, str] = {}
        self.results: dict[str, Mapping[str, Any]] = {}
        self._holders: set[str] = set()

    def ping(self) -> None:
        """Make sure that it answers."""
        if self.is_down:
            raise LedgerUnreachableError(self.address, "connection refused")

    def reserve(self, refs: Sequence[DispatchRef], queue: str, lease: timedelta) -> list[Reserved]:
        """Write an entry for each, unless a dispatch of it is under way."""
        self.ping()
        return [self._reserve_one(ref, queue, round(lease.total_seconds() * 1000)) for ref in refs]

    def _reserve_one(self, ref: DispatchRef, queue: str, lease_ms: int) -> Reserved:
        self.leases.setdefault(queue, {})[ref.external_task_id] = self.clock.milliseconds() + lease_ms // 2
        entry = self.entries.get(ref.external_task_id)
        if entry and entry.state is not State.BACKING_OFF and entry.retries == ref.retries:
            entry.holder, entry.lease_ms = ref.holder, lease_ms
            under_way = Reservation.ADOPTED if entry.state in UNDER_WAY else Reservation.REPUBLISH
            return Reserved(reservation=under_way, token=Token(entry.token))
        self.retries_due.pop(ref.external_task_id, None)
        self.entries[ref.external_task_id] = Entry(
            state=State.RESERVED, token=ref.token, holder=ref.holder, lease_ms=lease_ms, retries=ref.retries
        )
        return Reserved(reservation=Reservation.NEW, token=ref.token)

    def mark_published(self, refs: Sequence[DispatchRef]) -> None:
        """Note that the broker has these dispatches."""
        self.ping()
        for ref in refs:
            entry = self._of_token(ref)
            if entry and entry.state is State.RESERVED:
                entry.state = State.PUBLISHED

    def mark_started(self, ref: DispatchRef, worker: str) -> int:
        """Do what a worker does at a start: 0 without entry, -1 when superseded, else the number of starts."""
        self.ping()
        entry = self.entries.get(ref.external_task_id)
        if entry is None:
            return -1 if self.results.get(ref.celery_id, {}).get("status") == "SUCCESS" else 0
        if entry.token > ref.token:
            return -1
        if entry.token < ref.token:
            entry.token, entry.starts = ref.token, 0
        entry.state, entry.worker, entry.starts = State.STARTED, worker, entry.starts + 1
        return entry.starts

    def forget(self, external_task_id: ExternalTaskId, token: Token, queue: str) -> None:
        """Remove the entry of a dispatch that was never published or whose step is gone, if it is still this one."""
        self.ping()
        entry = self.entries.get(external_task_id)
        if entry and entry.token == token:
            del self.entries[external_task_id]
            self._drop(queue, external_task_id)

    def claim_report(self, ref: DispatchRef, queue: str) -> ReportClaim:
        """Decide whether a failure or postponement of this dispatch counts."""
        self.ping()
        entry = self.entries.get(ref.external_task_id)
        if entry and entry.token > ref.token:
            return ReportClaim.SUPERSEDED
        if entry and entry.token == ref.token and entry.state is State.BACKING_OFF:
            return ReportClaim.REPORTED
        if entry:
            entry.state = State.REPORTING
        self._drop(queue, ref.external_task_id)
        return ReportClaim.CLAIMED

    def back_off(self, ref: DispatchRef, queue: str, delay: timedelta) -> bool:
        """Note that the engine offers this step again after `delay`."""
        self.ping()
        entry = self.entries.get(ref.external_task_id)
        if entry and entry.token > ref.token:
            return False
        fetched_again = ref.external_task_id in self.leases.get(queue, {})
        self._drop(queue, ref.external_task_id)
        entry = self.entries.setdefault(ref.external_task_id, Entry(state=State.BACKING_OFF, token=ref.token))
        entry.state, entry.token = State.BACKING_OFF, ref.token
        milliseconds = round(delay.total_seconds() * 1000)
        self.retries_due[ref.external_task_id] = self.clock.milliseconds() + milliseconds
        return fetched_again

    def close(self, ref: DispatchRef, queue: str, outcome: str) -> None:
        """Remove the entry of a step that ended."""
        self.ping()
        self.entries.pop(ref.external_task_id, None)
        self._drop(queue, ref.external_task_id)
        self.retries_due.pop(ref.external_task_id, None)
        self.closed[ref.external_task_id] = outcome

    def in_flight(self, queue: str) -> int:
        """Count what is reserved, published or started on a queue."""
        self.ping()
        return len(self.leases.get(queue, {}))

    def claim_due_leases(self, queue: str, limit: int) -> list[HeldLease]:
        """Take the leases that are at half-time."""
        self.ping()
        now, leases = self.clock.milliseconds(), self.leases.get(queue, {})
        due = sorted((moment, key) for key, moment in leases.items() if moment <= now)[:limit]
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

    def mark_extended(self, lease: HeldLease, queue: str) -> None:
        """Note that the engine extended this lease."""
        self.ping()
        leases = self.leases.get(queue, {})
        if lease.external_task_id in leases:
            leases[lease.external_task_id] = self.clock.milliseconds() + lease.milliseconds // 2

    def drop_lease(self, external_task_id: ExternalTaskId, queue: str) -> None:
        """Stop extending a lease."""
        self.ping()
        self._drop(queue, external_task_id)

    def register_holder(self, holder: str) -> None:
        """Remember a worker id of ours."""
        self.ping()
        self._holders.add(holder)

    def is_ours(self, holder: str) -> bool:
        """Whether a worker id belongs to a replica of this bridge."""
        self.ping()
        return holder in self._holders

    def stored_result(self, celery_id: str) -> Mapping[str, Any] | None:
        """Return what the test put into `results`."""
        self.ping()
        return self.results.get(celery_id)

    def until_next_retry(self) -> float | None:
        """Return the seconds until the next retry falls due, or None."""
        self.ping()
        now = self.clock.milliseconds()
        ahead = [moment - now for moment in self.retries_due.values() if moment >= now]
        return min(ahead) / 1000 if ahead else None

    def _of_token(self, ref: DispatchRef) -> Entry | None:
        entry = self.entries.get(ref.external_task_id)
        return entry if entry and entry.token == ref.token else None

    def _drop(self, queue: str, external_task_id: str) -> None:
        self.leases.get(queue, {}).pop(external_task_id, None)
