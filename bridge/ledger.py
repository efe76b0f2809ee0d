"""What is in flight, as all replicas know it: entries in Redis, changed only through the scripts of `ledger_keys`.

The ledger never decides whether a completion counts (the engine does); it fences failures, remembers who holds what,
and says how much room there is. A lost Redis costs at worst a second run, never a step.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import redis

from procos import ledger_keys as keys
from procos.domain.addresses import without_secrets
from procos.domain.errors import LedgerUnreachableError
from procos.domain.external_task import ExternalTaskId, Token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from procos.domain.dispatch import DispatchRef
    from procos.settings import RedisSettings

CLAIM_MILLISECONDS = 3_000


class Reservation(StrEnum):
    """What a reservation found: nothing, a dispatch that was perhaps never published, or one under way."""

    NEW = "new"
    REPUBLISH = "republish"
    ADOPTED = "adopted"


class ReportClaim(StrEnum):
    """Whether a failure or postponement still counts."""

    CLAIMED = "claimed"
    SUPERSEDED = "superseded"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """The answer to a reservation, with the token that counts: an older one when the dispatch is not new."""

    reservation: Reservation
    token: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """One lease that is due for extension."""

    external_task_id: ExternalTaskId
    holder: str
    token: Token
    milliseconds: int
    known: bool
    """Whether the ledger still has an entry."""
    extendable: bool
    """Whether the dispatch is published: one that is only reserved must run out, to be fetched and published again."""


class Ledger:
    """The entries in Redis; may be shared by threads."""

    def __init__(self, settings: RedisSettings) -> None:
        self.address = without_secrets(settings.url)
        self._redis = redis.Redis.from_url(
            settings.url,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.timeout,
            health_check_interval=30,
            decode_responses=True,
        )
        self._reserve = self._redis.register_script(keys.RESERVE)
        self._published = self._redis.register_script(keys.PUBLISHED)
        self._claim_report = self._redis.register_script(keys.CLAIM_REPORT)
        self._back_off = self._redis.register_script(keys.BACK_OFF)
        self._close = self._redis.register_script(keys.CLOSE)
        self._forget = self._redis.register_script(keys.FORGET)
        self._claim_leases = self._redis.register_script(keys.CLAIM_LEASES)
        self._extended = self._redis.register_script(keys.EXTENDED)
        self._due_retries = self._redis.register_script(keys.DUE_RETRIES)

    def ping(self) -> None:
        """Make sure that Redis answers.

        Raises:
            LedgerUnreachableError: it does not, as every method here may raise.
        """
        with self._reachable():
            self._redis.ping()

    def reserve(self, refs: Sequence[DispatchRef], queue: str, lease: timedelta) -> list[Reserved]:
        """Write an entry for each fetched external task before anything is published, all or none of them known."""
        milliseconds = round(lease.total_seconds() * 1000)
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
            for ref in refs:
                self._reserve(
                    keys=[keys.entry(ref.external_task_id), keys.leases(queue), keys.RETRIES_DUE],
                    args=[
                        ref.external_task_id, ref.token, ref.holder, milliseconds,
                        ref.topic, queue, ref.process_instance_id, ref.activity_id,
                        "" if ref.retries is None else ref.retries,
                    ],
                    client=pipeline,
                )  # fmt: skip
            answers: list[Any] = pipeline.execute()
        return [Reserved(reservation=Reservation(word), token=Token(int(token))) for word, token in answers]

    def mark_published(self, refs: Sequence[DispatchRef]) -> None:
        """Note that the broker has these dispatches."""
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
            for ref in refs:
                self._published(keys=[keys.entry(ref.external_task_id)], args=[ref.token], client=pipeline)
            pipeline.execute()

    def forget(self, external_task_id: ExternalTaskId, token: Token, queue: str) -> None:
        """Remove the entry of a dispatch that was never published or whose step is gone, if it is still this one."""
        with self._reachable():
            self._forget(keys=[keys.entry(external_task_id), keys.leases(queue)], args=[external_task_id, token])

    def claim_report(self, ref: DispatchRef, queue: str) -> ReportClaim:
        """Decide whether a failure or postponement of this dispatch counts, and stop extending its lease if so."""
        with self._reachable():
            answer = self._claim_report(
                keys=[keys.entry(ref.external_task_id), keys.leases(queue)], args=[ref.external_task_id, ref.token]
            )
        return ReportClaim(answer)

    def back_off(self, ref: DispatchRef, queue: str, delay: timedelta) -> bool:
        """Note that the engine offers this step again after `delay`.

        Returns whether a poller fetched it already and adopted the dispatch that has just failed: nobody runs it then.
        """
        milliseconds = round(delay.total_seconds() * 1000)
        with self._reachable():
            fetched_again = self._back_off(
                keys=[keys.entry(ref.external_task_id), keys.RETRIES_DUE, keys.leases(queue)],
                args=[ref.external_task_id, ref.token, milliseconds, keys.STEPS_KEPT_SECONDS],
            )
        return bool(fetched_again)

    def close(self, ref: DispatchRef, queue: str, outcome: str) -> None:
        """Remove the entry of a step that ended, and keep a line about it for people."""
        with self._reachable():
            self._close(
                keys=[
                    keys.entry(ref.external_task_id), keys.leases(queue), keys.RETRIES_DUE,
                    keys.steps(ref.process_instance_id),
                ],
                args=[
                    ref.external_task_id, outcome, keys.STEPS_KEPT_SECONDS, ref.activity_id, ref.topic, queue,
                    keys.MOST_STEPS,
                ],
            )  # fmt: skip

    def in_flight(self, queue: str) -> int:
        """Count what is reserved, published or started on a queue."""
        with self._reachable():
            return int(self._redis.zcard(keys.leases(queue)))

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

    def register_holder(self, holder: str) -> None:
        """Remember a worker id of ours, so that any replica may report what it holds."""
        with self._reachable():
            self._redis.sadd(keys.HOLDERS, holder)

    def is_ours(self, holder: str) -> bool:
        """Whether a worker id belongs to a replica of this bridge."""
        with self._reachable():
            return bool(self._redis.sismember(keys.HOLDERS, holder))

    def stored_result(self, celery_id: str) -> Mapping[str, Any] | None:
        """Read the raw meta Celery stored for a task, without rebuilding any class from it."""
        with self._reachable():
            text = self._redis.get(keys.RESULT_PREFIX + celery_id)
        try:
            meta = json.loads(text) if isinstance(text, str) else None
        except ValueError:
            return None
        return meta if isinstance(meta, dict) else None

    def until_next_retry(self) -> float | None:
        """Return the seconds until the next retry falls due, or None."""
        with self._reachable():
            milliseconds = int(self._due_retries(keys=[keys.RETRIES_DUE]))
        return None if milliseconds < 0 else milliseconds / 1000

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise LedgerUnreachableError(self.address, _reason(error)) from error


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


def _reason(error: redis.RedisError) -> str:
    if isinstance(error, redis.AuthenticationError):
        return "the credentials are refused"
    return str(error).rstrip(".") or type(error).__name__
