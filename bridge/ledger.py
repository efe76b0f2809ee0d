"""What is in flight, as all replicas know it: entries in Redis, changed only through the scripts of `ledger_keys`.

The ledger never decides whether a completion counts (the engine does); it fences failures, remembers who holds what,
and says how much room there is. A lost Redis costs at worst a second run, never a step.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from bridge.ledger_values import (
    ENTRY_FIELDS,
    BackedOff,
    Claimed,
    HeldLease,
    InFlight,
    Known,
    ReportClaim,
    Reservation,
    Reserved,
    in_flight,
)
from bridge.store import Store
from procos import ledger_keys as keys
from procos import ledger_scripts as scripts
from procos.domain.external_task import ExternalTaskId, Token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask
    from procos.settings import RedisSettings

CLAIM_MILLISECONDS = 3_000
JUST_ENDED_MILLISECONDS = 60_000
"""How long the answer to a fetch may have been on its way; after that a step that ended is believed to be open again,
as in a database that was restored."""


class Ledger(Store):
    """The entries in Redis; may be shared by threads."""

    def __init__(self, settings: RedisSettings) -> None:
        super().__init__(settings)
        register = self._redis.register_script
        self._reserve = register(scripts.RESERVE)
        self._rebuild = register(scripts.REBUILD)
        self._published = register(scripts.PUBLISHED)
        self._claim_report = register(scripts.CLAIM_REPORT)
        self._back_off = register(scripts.BACK_OFF)
        self._close = register(scripts.CLOSE)
        self._forget = register(scripts.FORGET)
        self._cancel = register(scripts.CANCEL)
        self._lose = register(scripts.LOSE)
        self._claim_leases = register(scripts.CLAIM_LEASES)
        self._extended = register(scripts.EXTENDED)
        self._due_retries = register(scripts.DUE_RETRIES)

    def reserve(
        self, refs: Sequence[DispatchRef], queue: str, lease: timedelta | Sequence[timedelta]
    ) -> list[Reserved]:
        """Write an entry for each fetched external task before anything is published, under one lease or one each."""
        leases = [lease] * len(refs) if isinstance(lease, timedelta) else lease
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
            for ref, duration in zip(refs, leases, strict=True):
                self._reserve(
                    keys=[
                        keys.entry(ref.external_task_id), keys.leases(queue), keys.RETRIES_DUE,
                        keys.cancelled(ref.external_task_id), keys.steps(ref.process_instance_id),
                    ],
                    args=[
                        ref.external_task_id, ref.token, ref.holder, round(duration.total_seconds() * 1000),
                        ref.topic, queue, ref.process_instance_id, ref.activity_id, _retries(ref.retries),
                        JUST_ENDED_MILLISECONDS, ref.retry_config or "",
                    ],
                    client=pipeline,
                )  # fmt: skip
            answers: list[Any] = pipeline.execute()
        return [
            Reserved(
                reservation=Reservation(word),
                token=Token(int(token)),
                replaced=keys.State(replaced) if replaced else None,
            )
            for word, token, replaced in answers
        ]

    def mark_published(self, refs: Sequence[DispatchRef]) -> None:
        """Note that the broker has these dispatches."""
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
            for ref in refs:
                self._published(keys=[keys.entry(ref.external_task_id)], args=[ref.token], client=pipeline)
            pipeline.execute()

    def rebuild(self, tasks: Sequence[ExternalTask], queue: str, lease: timedelta) -> int:
        """Write entries, as of published dispatches, for steps the engine says are ours; returns how many were new."""
        milliseconds = round(lease.total_seconds() * 1000)
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
            for task in tasks:
                self._rebuild(
                    keys=[keys.entry(task.id), keys.leases(queue), keys.steps(task.process_instance_id)],
                    args=[
                        task.id, task.lease.holder if task.lease else "", milliseconds,
                        task.topic, queue, task.process_instance_id, task.activity_id, _retries(task.retries),
                    ],
                    client=pipeline,
                )  # fmt: skip
            return sum(pipeline.execute())

    def forget(self, external_task_id: ExternalTaskId, token: Token, queue: str) -> bool:
        """Remove the entry of a dispatch that was never published, if it is still this one; returns whether it was."""
        with self._reachable():
            return bool(
                self._forget(keys=[keys.entry(external_task_id), keys.leases(queue)], args=[external_task_id, token])
            )

    def cancel(self, ref: DispatchRef, queue: str) -> bool:
        """Tell the workers that a step is gone, and remove its entry; returns whether it was open."""
        task_id = ref.external_task_id
        with self._reachable():
            existed = self._cancel(
                keys=[keys.entry(task_id), keys.leases(queue), keys.RETRIES_DUE, keys.cancelled(task_id)],
                args=[task_id, ref.token, keys.CANCELLED_KEPT_SECONDS],
            )
        return bool(existed)

    def lose(self, entry: InFlight) -> int:
        """Give a dispatch up for lost, unless it has shown itself since; returns how often this try was, or 0."""
        task_id = entry.ref.external_task_id
        with self._reachable():
            return int(
                self._lose(
                    keys=[keys.entry(task_id), keys.leases(entry.queue)],
                    args=[
                        task_id,
                        entry.ref.token,
                        entry.state,
                        "" if entry.seen_at is None else entry.seen_at,
                        keys.STEPS_KEPT_SECONDS,
                    ],
                )
            )

    def claim_report(self, ref: DispatchRef, queue: str) -> Claimed:
        """Decide whether a failure or postponement of this dispatch counts, and stop extending its lease if so."""
        with self._reachable():
            claim, milliseconds, worker = self._claim_report(
                keys=[keys.entry(ref.external_task_id), keys.leases(queue), keys.steps(ref.process_instance_id)],
                args=[ref.external_task_id, ref.token, keys.STEPS_KEPT_SECONDS],
            )
        return Claimed(claim=ReportClaim(claim), age=timedelta(milliseconds=int(milliseconds)), worker=worker)

    def back_off(self, ref: DispatchRef, queue: str, delay: timedelta, *, same_try: bool) -> BackedOff:
        """Note that the engine offers this step again after `delay`; `same_try` goes on with the age it has.

        A poller may have fetched it already and adopted the dispatch that has just failed: nobody runs it then.
        """
        milliseconds = round(delay.total_seconds() * 1000)
        with self._reachable():
            fetched_again, was_open = self._back_off(
                keys=[keys.entry(ref.external_task_id), keys.RETRIES_DUE, keys.leases(queue)],
                args=[ref.external_task_id, ref.token, milliseconds, keys.STEPS_KEPT_SECONDS, int(same_try)],
            )
        return BackedOff(fetched_again=bool(fetched_again), was_open=bool(was_open))

    def close(self, ref: DispatchRef, queue: str, outcome: str) -> timedelta | None:
        """Remove the entry of a step that ended, and keep a line about it for people.

        Returns how long the try lasted, None if it was not open.
        """
        with self._reachable():
            age = int(self._close(
                keys=[
                    keys.entry(ref.external_task_id), keys.leases(queue), keys.RETRIES_DUE,
                    keys.steps(ref.process_instance_id), keys.RESULT_PREFIX + ref.celery_id,
                ],
                args=[
                    ref.external_task_id, outcome, keys.STEPS_KEPT_SECONDS, ref.activity_id, ref.topic, queue,
                    keys.MOST_STEPS, ref.token, keys.RESULTS_KEPT_SECONDS,
                ],
            ))  # fmt: skip
        return None if age < 0 else timedelta(milliseconds=age)

    def in_flight(self, queue: str) -> int:
        """Count what is reserved, published or started on a queue."""
        with self._reachable():
            return int(self._redis.zcard(keys.leases(queue)))

    def list_in_flight(self, queue: str) -> list[InFlight]:
        """Read everything in flight on a queue."""
        with self._reachable():
            ids = cast("list[str]", self._redis.zrange(keys.leases(queue), 0, -1))
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.time()
                for task_id in ids:
                    pipeline.hmget(keys.entry(task_id), ENTRY_FIELDS)
                (seconds, microseconds), *rows = pipeline.execute()
        now = seconds * 1000 + microseconds // 1000
        found = [(task_id, dict(zip(ENTRY_FIELDS, row, strict=True))) for task_id, row in zip(ids, rows, strict=True)]
        return [in_flight(task_id, queue, fields, now) for task_id, fields in found if fields["state"]]

    def known(self, ids: Sequence[ExternalTaskId]) -> Mapping[ExternalTaskId, Known]:
        """Return those of the ids that have an entry, in whatever state."""
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
            for task_id in ids:
                pipeline.hmget(keys.entry(task_id), "state", "token", "due_at")
            rows = pipeline.execute()
        return {
            task_id: Known(
                state=keys.State(state), token=Token(int(token or 0)), due_at=int(due_at) if due_at else None
            )
            for task_id, (state, token, due_at) in zip(ids, rows, strict=True)
            if state
        }

    def overtaken_at(self, queue: str) -> int:
        """Return when the youngest dispatch of a queue that was started had been published, in milliseconds."""
        with self._reachable():
            return int(self._redis.hget(keys.OVERTAKEN, queue) or 0)

    def claim_due_leases(self, queue: str, limit: int) -> list[HeldLease]:
        """Take the leases that are at half-time, so that no other replica extends them for a while."""
        with self._reachable():
            ids = self._claim_leases(keys=[keys.leases(queue)], args=[limit, CLAIM_MILLISECONDS])
            with self._redis.pipeline(transaction=False) as pipeline:
                for external_task_id in ids:
                    pipeline.hmget(keys.entry(external_task_id), "state", "holder", "token", "lease_ms")
                rows = pipeline.execute()
        return [_held(ExternalTaskId(i), row) for i, row in zip(ids, rows, strict=True)]

    def mark_extended(self, lease: HeldLease, queue: str) -> None:
        """Note that the engine extended this lease."""
        with self._reachable():
            self._extended(keys=[keys.leases(queue)], args=[lease.external_task_id, lease.milliseconds])

    def drop_lease(self, external_task_id: ExternalTaskId, queue: str) -> None:
        """Stop extending a lease whose entry is gone."""
        with self._reachable():
            self._redis.zrem(keys.leases(queue), external_task_id)

    def stored_results(self, celery_ids: Sequence[str]) -> list[Mapping[str, Any] | None]:
        """Read the raw metas of several tasks, in their order."""
        if not celery_ids:
            return []
        with self._reachable():
            texts = self._redis.mget([keys.RESULT_PREFIX + celery_id for celery_id in celery_ids])
        return [_meta(text) for text in texts]

    def stored_result(self, celery_id: str) -> Mapping[str, Any] | None:
        """Read the raw meta Celery stored for a task, without rebuilding any class from it."""
        with self._reachable():
            return _meta(self._redis.get(keys.RESULT_PREFIX + celery_id))

    def until_next_retry(self) -> float | None:
        """Return the seconds until the next retry falls due, or None."""
        with self._reachable():
            milliseconds = int(self._due_retries(keys=[keys.RETRIES_DUE]))
        return None if milliseconds < 0 else milliseconds / 1000


def _meta(text: object) -> Mapping[str, Any] | None:
    try:
        meta = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return meta if isinstance(meta, dict) else None


def _retries(retries: int | None) -> int | str:
    return "" if retries is None else retries


def _held(external_task_id: ExternalTaskId, row: Sequence[str | None]) -> HeldLease:
    state, holder, token, milliseconds = row
    return HeldLease(
        external_task_id=external_task_id,
        holder=holder or "",
        token=Token(int(token or 0)),
        milliseconds=int(milliseconds or 0),
        known=state is not None,
        extendable=state in {keys.State.PUBLISHED, keys.State.STARTED},
    )
