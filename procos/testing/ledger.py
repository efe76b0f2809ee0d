"""The ledger in memory: what the scripts of `procos.ledger_scripts` do, step for step, on a clock of the test's own.

It is a twin, not a simplification: the contract cases run against this and the ledger on Redis.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bridge.ledger import JUST_ENDED_MILLISECONDS, Ledger
from bridge.ledger_values import (
    BackedOff,
    Claimed,
    Delayed,
    Ended,
    InFlight,
    Known,
    ReportClaim,
    Reservation,
    Reserved,
)
from procos.domain.dispatch import DispatchRef
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Token, Topic
from procos.ledger_keys import State
from procos.testing.clock import FrozenClock
from procos.testing.entries import Entry, described, milliseconds
from procos.testing.leases import LeasesSide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.caps import Cap
    from procos.domain.external_task import ExternalTask

UNDER_WAY = {State.PUBLISHED, State.STARTED, State.REPORTING}


class FakeLedger(LeasesSide, Ledger):
    """The `Ledger` in memory; its entries, leases, closed and cancelled steps may be looked at."""

    def __init__(self, clock: FrozenClock | None = None, caps: Mapping[Topic, Sequence[Cap]] | None = None) -> None:
        LeasesSide.__init__(self, clock or FrozenClock())
        self.caps = caps or {}
        self.address = "memory"

    def reserve(
        self, refs: Sequence[DispatchRef], queue: str, lease: timedelta | Sequence[timedelta]
    ) -> list[Reserved]:
        """Write an entry for each, unless a dispatch of it is under way."""
        self.ping()
        leases = [lease] * len(refs) if isinstance(lease, timedelta) else lease
        return [self._reserve_one(ref, queue, milliseconds(each)) for ref, each in zip(refs, leases, strict=True)]

    def _reserve_one(self, ref: DispatchRef, queue: str, lease_ms: int) -> Reserved:
        now, entry = self.clock.milliseconds(), self.entries.get(ref.external_task_id)
        if entry is None and self._has_just_ended(ref, now):
            return Reserved(reservation=Reservation.ENDED, token=ref.token)
        is_same_try = entry is not None and entry.retries == ref.retries
        is_under_way = entry is not None and is_same_try and entry.state not in {State.BACKING_OFF, State.LOST}
        if not is_under_way and self._is_full(ref.external_task_id, ref.topic, queue):
            return Reserved(reservation=Reservation.FULL, token=ref.token)
        self._take_places(ref.external_task_id, ref.topic, queue)
        self._lease(queue, ref.external_task_id, now + lease_ms // 2)
        self.cancelled.pop(ref.external_task_id, None)
        if entry and is_under_way:
            entry.holder, entry.lease_ms = ref.holder, lease_ms
            under_way = Reservation.ADOPTED if entry.state in UNDER_WAY else Reservation.REPUBLISH
            return Reserved(reservation=under_way, token=Token(entry.token))
        keeps_age = entry is not None and (is_same_try or entry.state is State.BACKING_OFF)
        self.retries_due.pop(ref.external_task_id, None)
        self.entries[ref.external_task_id] = Entry(
            state=State.RESERVED, token=ref.token, holder=ref.holder, lease_ms=lease_ms, **described(ref),
            first_at=(entry.first_at if entry and keeps_age else None) or now,
            losses=entry.losses if entry and is_same_try else 0, reserved_at=now, ahead=ref.token - lease_ms - now,
            starts=entry.starts if entry and is_same_try and entry.state is State.LOST else 0,
        )  # fmt: skip
        replaced = entry.state if entry and entry.state is not State.BACKING_OFF else None
        return Reserved(reservation=Reservation.NEW, token=ref.token, replaced=replaced)

    def rebuild(self, tasks: Sequence[ExternalTask], queue: str, lease: timedelta) -> int:
        """Write entries, as of published dispatches, for steps the engine says are ours."""
        self.ping()
        now, written = self.clock.milliseconds(), 0
        for task in tasks:
            if task.id in self.entries or task.id in self.closed:
                continue
            written += 1
            self._lease(queue, task.id, now + milliseconds(lease) // 2)
            self._take_places(task.id, task.topic, queue)
            self.entries[task.id] = Entry(
                state=State.PUBLISHED, token=0, holder=task.lease.holder if task.lease else "",
                lease_ms=milliseconds(lease), topic=task.topic, instance=task.process_instance_id,
                activity=task.activity_id, retries=task.retries, first_at=now, reserved_at=now, published_at=now,
            )  # fmt: skip
        return written

    def mark_published(self, refs: Sequence[DispatchRef]) -> None:
        """Note that the broker has these dispatches."""
        self.ping()
        for ref in refs:
            entry = self._of_token(ref)
            if entry:
                entry.published_at = self.clock.milliseconds()
                entry.state = State.PUBLISHED if entry.state is State.RESERVED else entry.state

    def mark_parked(self, refs: Sequence[DispatchRef]) -> None:
        """Note that the results of these dispatches are there, and cannot be reported now."""
        self.ping()
        for ref in refs:
            entry = self.entries.get(ref.external_task_id)
            if entry and entry.token in {ref.token, 0}:
                entry.seen_at = self.clock.milliseconds()

    def forget(self, external_task_id: ExternalTaskId, token: Token, queue: str) -> bool:
        """Remove the entry of a dispatch that was never published, if it is still this one."""
        self.ping()
        entry = self.entries.get(external_task_id)
        if entry is None or entry.token != token:
            return False
        del self.entries[external_task_id]
        self._drop(queue, external_task_id)
        return True

    def cancel(self, ref: DispatchRef, queue: str) -> bool:
        """Tell the workers that a step is gone, and remove its entry."""
        self.ping()
        self.cancelled[ref.external_task_id] = ref.token
        self._drop(queue, ref.external_task_id)
        self.retries_due.pop(ref.external_task_id, None)
        entry = self.entries.pop(ref.external_task_id, None)
        return entry is not None and entry.state is not State.BACKING_OFF

    def lose(self, entry: InFlight) -> int:
        """Give a dispatch up for lost, unless it has shown itself since."""
        self.ping()
        now = self.entries.get(entry.ref.external_task_id)
        if now is None or (now.token, now.state, now.seen_at) != (entry.ref.token, entry.state, entry.seen_at):
            return 0
        now.state, now.losses = State.LOST, now.losses + 1
        self._drop(entry.queue, entry.ref.external_task_id)
        return now.losses

    def claim_report(self, ref: DispatchRef, queue: str) -> Claimed:
        """Decide whether a failure or postponement of this dispatch counts."""
        self.ping()
        entry = self.entries.get(ref.external_task_id)
        worker = entry.worker if entry else ""
        if (entry.token if entry else self.ended_tokens.get(ref.external_task_id, 0)) > ref.token:
            return Claimed(claim=ReportClaim.SUPERSEDED, worker=worker)
        if entry and entry.token == ref.token and entry.state is State.BACKING_OFF:
            return Claimed(claim=ReportClaim.REPORTED, worker=worker)
        now = self.clock.milliseconds()
        first_at = entry.first_at if entry else None
        if entry:
            entry.state, entry.token = State.REPORTING, ref.token
        self._drop(queue, ref.external_task_id)
        age = timedelta(milliseconds=now - (now if first_at is None else first_at))
        return Claimed(claim=ReportClaim.CLAIMED, age=age, worker=worker)

    def claim_reports(self, refs: Sequence[tuple[DispatchRef, str]]) -> list[Claimed]:
        """Decide about several."""
        return [self.claim_report(ref, queue) for ref, queue in refs]

    def back_off(self, ref: DispatchRef, queue: str, delay: timedelta, *, same_try: bool) -> BackedOff:
        """Note that the engine offers this step again after `delay`."""
        self.ping()
        entry = self.entries.get(ref.external_task_id)
        if entry and entry.token > ref.token:
            return BackedOff()
        was_open = entry is not None and entry.state is not State.BACKING_OFF
        fetched_again = ref.external_task_id in self.leases.get(queue, {})
        self._drop(queue, ref.external_task_id)
        entry = self.entries.setdefault(ref.external_task_id, Entry(state=State.BACKING_OFF, token=ref.token))
        entry.state, entry.token = State.BACKING_OFF, ref.token
        entry.due_at = self.retries_due[ref.external_task_id] = self.clock.milliseconds() + milliseconds(delay)
        entry.first_at = entry.first_at if same_try else None
        return BackedOff(fetched_again=fetched_again, was_open=was_open)

    def back_off_all(self, delays: Sequence[Delayed]) -> list[BackedOff]:
        """Note it of several."""
        return [self.back_off(each.ref, each.queue, each.delay, same_try=each.same_try) for each in delays]

    def close(self, ref: DispatchRef, queue: str, outcome: str) -> timedelta | None:
        """Remove the entry of a step that ended."""
        self.ping()
        entry = self.entries.pop(ref.external_task_id, None)
        self._drop(queue, ref.external_task_id)
        self.retries_due.pop(ref.external_task_id, None)
        if entry or self.closed.get(ref.external_task_id, "incident") == "incident":
            self.closed[ref.external_task_id] = outcome
            self.ended_at[ref.external_task_id] = self.clock.milliseconds()
            self.ended_tokens[ref.external_task_id] = ref.token
        if entry is None or entry.state is State.BACKING_OFF:
            return None
        now = self.clock.milliseconds()
        return timedelta(milliseconds=now - (now if entry.first_at is None else entry.first_at))

    def close_all(self, ends: Sequence[Ended]) -> list[timedelta | None]:
        """Close several."""
        self.ping()
        for end in ends:
            if end.ref.external_task_id in self.entries or end.call not in self.closed_by:
                self.closed_by[end.call] = self.close(end.ref, end.queue, end.outcome)
        return [self.closed_by[end.call] for end in ends]

    def list_in_flight(self, queue: str, state: State | None = None) -> list[InFlight]:
        """Read everything in flight on a queue, or what of it is in one state."""
        return self.read_in_flight(queue, self.ids_in_flight(queue, state))

    def list_silent(self, queue: str, *, silence: timedelta, age: timedelta) -> list[InFlight]:
        """Read what has not shown itself for so long, or whose try is older than that."""
        entries = self.list_in_flight(queue)
        return [entry for entry in entries if entry.silence >= silence or entry.age > age]

    def read_in_flight(self, queue: str, ids: Sequence[ExternalTaskId]) -> list[InFlight]:
        """Read the entries of these ids."""
        self.ping()
        return [self._in_flight(i, queue, self.entries[i]) for i in ids if i in self.entries]

    def _in_flight(self, task_id: str, queue: str, entry: Entry) -> InFlight:
        return InFlight(
            ref=DispatchRef(
                external_task_id=ExternalTaskId(task_id), token=Token(entry.token), holder=entry.holder,
                topic=Topic(entry.topic), process_instance_id=ProcessInstanceId(entry.instance),
                activity_id=entry.activity, retries=entry.retries, retry_config=entry.retry_config,
            ),
            state=entry.state, queue=queue, now=self.clock.milliseconds(),
            first_at=entry.reserved_at if entry.first_at is None else entry.first_at,
            reserved_at=entry.reserved_at, published_at=entry.published_at, seen_at=entry.seen_at, worker=entry.worker,
            losses=entry.losses, starts=entry.starts, lease=timedelta(milliseconds=entry.lease_ms),
        )  # fmt: skip

    def known(self, ids: Sequence[ExternalTaskId]) -> Mapping[ExternalTaskId, Known]:
        """Return those of the ids that have an entry, in whatever state."""
        self.ping()
        found = {task_id: self.entries[task_id] for task_id in ids if task_id in self.entries}
        return {
            task_id: Known(
                state=entry.state,
                token=Token(entry.token),
                due_at=None if entry.due_at is None else entry.due_at + entry.ahead,
                retries=entry.retries,
                is_due=entry.due_at is not None and entry.due_at <= self.clock.milliseconds(),
            )
            for task_id, entry in found.items()
        }

    def overtaken_at(self, queue: str) -> int:
        """Return when the youngest dispatch of a queue that was started had been published."""
        self.ping()
        return self.overtaken.get(queue, 0)

    def stored_result(self, celery_id: str) -> Mapping[str, Any] | None:
        """Return what the test put into `results`."""
        self.ping()
        return self.results.get(celery_id)

    def stored_results(self, celery_ids: Sequence[str]) -> list[Mapping[str, Any] | None]:
        """Return what the test put into `results`, for each."""
        self.ping()
        return [self.results.get(celery_id) for celery_id in celery_ids]

    def _has_just_ended(self, ref: DispatchRef, now: int) -> bool:
        if self.closed.get(ref.external_task_id, "incident") == "incident":
            return False
        return now - self.ended_at[ref.external_task_id] < JUST_ENDED_MILLISECONDS

    def _of_token(self, ref: DispatchRef) -> Entry | None:
        entry = self.entries.get(ref.external_task_id)
        return entry if entry and entry.token == ref.token else None
