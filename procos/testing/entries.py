"""The workers' side of the ledger in memory: entries, and what a task writes when it starts and while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procos.ledger_keys import State
from procos.testing.demand import NumbersSide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from procos.domain.dispatch import DispatchRef
    from procos.testing.clock import FrozenClock

ENDED, ALIVE_ELSEWHERE = -1, -2
NOT_TO_START = {State.REPORTING, State.BACKING_OFF, State.LOST}


@dataclass(slots=True, kw_only=True)
class Entry:
    """One entry, as Redis keeps it in a hash."""

    state: State
    token: int
    holder: str = ""
    lease_ms: int = 0
    starts: int = 0
    worker: str = ""
    run: str = ""
    retries: int | None = None
    topic: str = ""
    instance: str = ""
    activity: str = ""
    losses: int = 0
    first_at: int | None = None
    reserved_at: int = 0
    published_at: int | None = None
    seen_at: int | None = None
    due_at: int | None = None
    ahead: int = 0
    retry_config: str | None = None

    def is_of_another_run(self, run: str) -> bool:
        """Whether this dispatch was started by another run than this one."""
        return self.state is State.STARTED and self.run != run

    def runs_elsewhere(self, run: str, *, now: int, fresh_ms: int, dead_since: int | None) -> bool:
        """Whether another run of this dispatch has given a sign of life a moment ago."""
        if not self.is_of_another_run(run) or self.seen_at is None:
            return False
        return self.seen_at != dead_since and now - self.seen_at < fresh_ms


class WorkersSide(NumbersSide):
    """What bridge and workers share."""

    def __init__(self, clock: FrozenClock) -> None:
        self.results: dict[str, Mapping[str, Any]] = {}
        super().__init__(clock)

    def flush(self) -> None:
        """Lose everything but the results."""
        super().flush()
        self.entries: dict[str, Entry] = {}
        self.closed: dict[str, str] = {}
        self.ended_at: dict[str, int] = {}
        self.ended_tokens: dict[str, int] = {}
        self.closed_by: dict[str, timedelta | None] = {}
        self.cancelled: dict[str, int] = {}
        self.overtaken: dict[str, int] = {}
        self.early_until: dict[str, int] = {}

    def mark_started(
        self, ref: DispatchRef, worker: str, *, run: str = "run", fresh_ms: int = 10_000, dead_since: int | None = None
    ) -> tuple[int, ...]:
        """Do what a worker does at a start: the number of starts, 0 without entry, -1 to leave it, -2 if it runs."""
        self.ping()
        now, entry = self.clock.milliseconds(), self.entries.get(ref.external_task_id)
        if ref.external_task_id in self.cancelled:
            return (ENDED,)
        if entry is None:
            return (ENDED if self._has_ended(ref) else 0,)
        if entry.token > ref.token:
            return (ENDED,)
        if entry.token < ref.token:
            entry.token, entry.starts = ref.token, 0
        elif entry.state in NOT_TO_START or (entry.is_of_another_run(run) and self._has_result(ref)):
            return (ENDED,)
        elif entry.runs_elsewhere(run, now=now, fresh_ms=fresh_ms, dead_since=dead_since):
            return ALIVE_ELSEWHERE, entry.seen_at or 0
        entry.state, entry.worker, entry.run, entry.seen_at = State.STARTED, worker, run, now
        queue = self._queue_of(ref)
        self.overtaken[queue] = max(self.overtaken.get(queue, 0), entry.published_at or entry.reserved_at)
        self.starts[queue] = self.starts.get(queue, 0) + 1
        entry.starts += 1
        return (entry.starts,)

    def mark_alive(self, ref: DispatchRef, worker: str, *, run: str = "run") -> bool:
        """Do what a worker does once a second; returns whether the step was cancelled."""
        self.ping()
        now, entry = self.clock.milliseconds(), self.entries.get(ref.external_task_id)
        if ref.external_task_id in self.cancelled:
            return True
        if entry is None:
            if ref.external_task_id in self.closed:
                return False
            entry = self.entries[ref.external_task_id] = Entry(
                state=State.STARTED, token=ref.token, holder=ref.holder, starts=1, **described(ref),
                first_at=now, reserved_at=now, published_at=now,
            )  # fmt: skip
            self._lease_again(ref, now)
        elif entry.token > ref.token or entry.state in {State.REPORTING, State.BACKING_OFF}:
            return False
        elif entry.state is State.LOST:
            self._lease_again(ref, now)
        entry.state, entry.token, entry.worker, entry.run, entry.seen_at = State.STARTED, ref.token, worker, run, now
        return False

    def _has_ended(self, ref: DispatchRef) -> bool:
        outcome = self.closed.get(ref.external_task_id)
        has_result = self.results.get(ref.celery_id, {}).get("status") == "SUCCESS"
        return has_result or (outcome is not None and outcome != "incident")

    def _has_result(self, ref: DispatchRef) -> bool:
        return self.results.get(ref.celery_id, {}).get("status") in {"SUCCESS", "FAILURE"}

    def _lease_again(self, ref: DispatchRef, now: int) -> None:
        self._lease(self._queue_of(ref), ref.external_task_id, now)
        self._take_places(ref.external_task_id, ref.topic, self._queue_of(ref))

    def _queue_of(self, ref: DispatchRef) -> str:
        return ref.holder.rpartition("/")[2]


def described(ref: DispatchRef) -> dict[str, Any]:
    """Return the fields of an entry that say what it is about."""
    return {
        "topic": ref.topic, "instance": ref.process_instance_id, "activity": ref.activity_id, "retries": ref.retries,
        "retry_config": ref.retry_config,
    }  # fmt: skip


def milliseconds(duration: timedelta) -> int:
    """Return a duration as Redis counts it."""
    return round(duration.total_seconds() * 1000)
