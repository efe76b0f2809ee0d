"""What is in flight, as all replicas know it: entries in Redis, changed only through the scripts of `ledger_keys`.

The ledger never decides whether a completion counts (the engine does); it fences failures, remembers who holds what,
and says how much room there is. A lost Redis costs at worst a second run, never a step.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bridge.demand import Numbers
from bridge.leases import Leases
from bridge.ledger_values import (
    ENTRY_FIELDS,
    KNOWN_FIELDS,
    BackedOff,
    Claimed,
    Delayed,
    Ended,
    InFlight,
    Known,
    ReportClaim,
    Reservation,
    Reserved,
    in_flight,
    known,
)
from procos import ledger_keys as keys
from procos import ledger_scripts as scripts
from procos.domain.external_task import ExternalTaskId, Token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.caps import Cap
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask, Topic
    from procos.settings import RedisSettings

JUST_ENDED_MILLISECONDS = 60_000
"""How long the answer to a fetch may have been on its way; after that a step that ended is believed to be open again,
as in a database that was restored."""


class Ledger(Leases, Numbers):
    """The entries in Redis; may be shared by threads. `caps` are those of the topics that have some."""

    def __init__(self, settings: RedisSettings, caps: Mapping[Topic, Sequence[Cap]] | None = None) -> None:
        super().__init__(settings)
        self._caps = caps or {}
        register = self._redis.register_script
        self._reserve = register(scripts.RESERVE)
        self._rebuild = register(scripts.REBUILD)
        self._published = register(scripts.PUBLISHED)
        self._parked = register(scripts.PARKED)
        self._claim_report = register(scripts.CLAIM_REPORT)
        self._back_off = register(scripts.BACK_OFF)
        self._close = register(scripts.CLOSE)
        self._forget = register(scripts.FORGET)
        self._cancel = register(scripts.CANCEL)
        self._lose = register(scripts.LOSE)

    def reserve(
        self, refs: Sequence[DispatchRef], queue: str, lease: timedelta | Sequence[timedelta]
    ) -> list[Reserved]:
        """Write an entry for each fetched external task before anything is published, under one lease or one each."""
        leases = [lease] * len(refs) if isinstance(lease, timedelta) else lease
        answers = self._run(self._reserve, [
            (
                [
                    keys.entry(ref.external_task_id), keys.leases(queue), keys.RETRIES_DUE,
                    keys.cancelled(ref.external_task_id), keys.steps(ref.process_instance_id),
                    keys.ended(ref.external_task_id), *self._cap_keys(ref.topic, queue),
                ],
                [
                    ref.external_task_id, ref.token, ref.holder, round(duration.total_seconds() * 1000),
                    ref.topic, queue, ref.process_instance_id, ref.activity_id, _retries(ref.retries),
                    JUST_ENDED_MILLISECONDS, ref.retry_config or "", *self._cap_arguments(ref.topic),
                ],
            )
            for ref, duration in zip(refs, leases, strict=True)
        ])  # fmt: skip
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
        self._run(self._published, [([keys.entry(ref.external_task_id)], [ref.token]) for ref in refs])

    def mark_parked(self, refs: Sequence[DispatchRef]) -> None:
        """Note that the results of these dispatches are there, and cannot be reported now."""
        self._run(self._parked, [([keys.entry(ref.external_task_id)], [ref.token]) for ref in refs])

    def rebuild(self, tasks: Sequence[ExternalTask], queue: str, lease: timedelta) -> int:
        """Write entries, as of published dispatches, for steps the engine says are ours; returns how many were new."""
        milliseconds = round(lease.total_seconds() * 1000)
        return sum(self._run(self._rebuild, [
            (
                [
                    keys.entry(task.id), keys.leases(queue), keys.steps(task.process_instance_id),
                    keys.ended(task.id), *self._places(task.topic, queue),
                ],
                [
                    task.id, task.lease.holder if task.lease else "", milliseconds,
                    task.topic, queue, task.process_instance_id, task.activity_id, _retries(task.retries),
                ],
            )
            for task in tasks
        ]))  # fmt: skip

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
        return self.claim_reports([(ref, queue)])[0]

    def claim_reports(self, refs: Sequence[tuple[DispatchRef, str]]) -> list[Claimed]:
        """Decide about several; each comes with its queue."""
        answers = self._run(self._claim_report, [
            (
                [
                    keys.entry(ref.external_task_id), keys.leases(queue), keys.steps(ref.process_instance_id),
                    keys.ended(ref.external_task_id),
                ],
                [ref.external_task_id, ref.token, keys.STEPS_KEPT_SECONDS],
            )
            for ref, queue in refs
        ])  # fmt: skip
        return [
            Claimed(claim=ReportClaim(claim), age=timedelta(milliseconds=int(age)), worker=worker)
            for claim, age, worker in answers
        ]

    def back_off(self, ref: DispatchRef, queue: str, delay: timedelta, *, same_try: bool) -> BackedOff:
        """Note that the engine offers this step again after `delay`; `same_try` goes on with the age it has.

        A poller may have fetched it already and adopted the dispatch that has just failed: nobody runs it then.
        """
        return self.back_off_all([Delayed(ref=ref, queue=queue, delay=delay, same_try=same_try)])[0]

    def back_off_all(self, delays: Sequence[Delayed]) -> list[BackedOff]:
        """Note it of several."""
        answers = self._run(self._back_off, [
            (
                [keys.entry(each.ref.external_task_id), keys.RETRIES_DUE, keys.leases(each.queue)],
                [
                    each.ref.external_task_id, each.ref.token, round(each.delay.total_seconds() * 1000),
                    keys.STEPS_KEPT_SECONDS, int(each.same_try),
                ],
            )
            for each in delays
        ])  # fmt: skip
        return [BackedOff(fetched_again=bool(again), was_open=bool(was_open)) for again, was_open in answers]

    def close(self, ref: DispatchRef, queue: str, outcome: str) -> timedelta | None:
        """Remove the entry of a step that ended, and keep a line about it for people.

        Returns how long the try lasted, None if it was not open.
        """
        return self.close_all([Ended(ref=ref, queue=queue, outcome=outcome)])[0]

    def close_all(self, ends: Sequence[Ended]) -> list[timedelta | None]:
        """Close several."""
        answers = self._run(self._close, [
            (
                [
                    keys.entry(end.ref.external_task_id), keys.leases(end.queue), keys.RETRIES_DUE,
                    keys.steps(end.ref.process_instance_id), keys.RESULT_PREFIX + end.ref.celery_id,
                    keys.ended(end.ref.external_task_id),
                ],
                [
                    end.ref.external_task_id, end.outcome, keys.STEPS_KEPT_SECONDS, end.ref.activity_id,
                    end.ref.topic, end.queue, keys.MOST_STEPS, end.ref.token, keys.RESULTS_KEPT_SECONDS,
                    end.call,
                ],
            )
            for end in ends
        ])  # fmt: skip
        return [None if int(age) < 0 else timedelta(milliseconds=int(age)) for age in answers]

    def list_in_flight(self, queue: str, state: keys.State | None = None) -> list[InFlight]:
        """Read everything in flight on a queue, or what of it is in one state."""
        return self.read_in_flight(queue, self.ids_in_flight(queue, state))

    def list_silent(self, queue: str, *, silence: timedelta, age: timedelta) -> list[InFlight]:
        """Read what has not shown itself for so long, or whose try is older than that."""
        return self.read_in_flight(queue, self.silent_ids(queue, silence=silence, age=age))

    def read_in_flight(self, queue: str, ids: Sequence[ExternalTaskId]) -> list[InFlight]:
        """Read the entries of these ids; those that have none are left out."""
        if not ids:
            return []
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
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
            pipeline.time()
            for task_id in ids:
                pipeline.hmget(keys.entry(task_id), KNOWN_FIELDS)
            (seconds, microseconds), *rows = pipeline.execute()
        now = seconds * 1000 + microseconds // 1000
        found = [(task_id, dict(zip(KNOWN_FIELDS, row, strict=True))) for task_id, row in zip(ids, rows, strict=True)]
        return {task_id: known(fields, now) for task_id, fields in found if fields["state"]}

    def overtaken_at(self, queue: str) -> int:
        """Return when the youngest dispatch of a queue that was started had been published, in milliseconds."""
        with self._reachable():
            return int(self._redis.hget(keys.OVERTAKEN, queue) or 0)

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


def _meta(text: object) -> Mapping[str, Any] | None:
    try:
        meta = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return meta if isinstance(meta, dict) else None


def _retries(retries: int | None) -> int | str:
    return "" if retries is None else retries
