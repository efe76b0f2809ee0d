"""The leases of what is in flight, as the ledger keeps them: when each falls due, and who is extending it.

A lease moves with every extension while the entry and its token stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bridge.ledger_values import HeldLease
from bridge.store import Store
from procos import lease_scripts as scripts
from procos import ledger_keys as keys
from procos.domain.external_task import ExternalTaskId, Token

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from procos.settings import RedisSettings

CLAIM_MILLISECONDS = 3_000
EARLY_MILLISECONDS = 900
"""How long nobody else may take what is not due: a little less than from one turn of a lease keeper to the next."""


class Leases(Store):
    """What is to be extended; may be shared by threads."""

    def __init__(self, settings: RedisSettings) -> None:
        super().__init__(settings)
        self._claim_leases = self._redis.register_script(scripts.CLAIM_LEASES)
        self._silent = self._redis.register_script(scripts.SILENT)
        self._in_state = self._redis.register_script(scripts.IN_STATE)
        self._due_within = self._redis.register_script(scripts.DUE_WITHIN)
        self._extended = self._redis.register_script(scripts.EXTENDED)

    def due_within(self, queue: str, horizons: Sequence[timedelta]) -> list[int]:
        """Count the leases that fall due within each of these times."""
        milliseconds = [round(horizon.total_seconds() * 1000) for horizon in horizons]
        with self._reachable():
            return [int(count) for count in self._due_within(keys=[keys.leases(queue)], args=milliseconds)]

    def claim_due_leases(self, queue: str, limit: int, *, share: int = 0) -> list[HeldLease]:
        """Take the leases that are at half-time, so that no other replica extends them for a while.

        Where those are less than the `share` of this turn, one replica gets others that fall due next.
        """
        with self._reachable():
            ids = self._claim_leases(
                keys=[keys.leases(queue), keys.early(queue)],
                args=[limit, CLAIM_MILLISECONDS, share, EARLY_MILLISECONDS],
            )
            with self._redis.pipeline(transaction=False) as pipeline:
                for external_task_id in ids:
                    pipeline.hmget(keys.entry(external_task_id), "state", "holder", "token", "lease_ms")
                rows = pipeline.execute()
        return [_held(ExternalTaskId(i), row) for i, row in zip(ids, rows, strict=True)]

    def mark_extended(self, lease: HeldLease, queue: str) -> keys.State | None:
        """Note that the engine extended this lease; returns the state the entry has now, None without one."""
        with self._reachable():
            state = self._extended(
                keys=[keys.leases(queue), keys.entry(lease.external_task_id)],
                args=[lease.external_task_id, lease.milliseconds],
            )
        return keys.State(state) if state else None

    def drop_lease(self, external_task_id: ExternalTaskId, queue: str) -> None:
        """Stop extending a lease whose entry is gone."""
        with self._reachable():
            self._redis.zrem(keys.leases(queue), external_task_id)

    def ids_in_flight(self, queue: str, state: keys.State | None = None) -> list[ExternalTaskId]:
        """List what is in flight, the next due first; Redis looks for a state, so that we need not read all."""
        with self._reachable():
            if state is None:
                return cast("list[ExternalTaskId]", self._redis.zrange(keys.leases(queue), 0, -1))
            found = self._in_state(keys=[keys.leases(queue)], args=[keys.entry(""), state])
        return cast("list[ExternalTaskId]", found)

    def silent_ids(self, queue: str, *, silence: timedelta, age: timedelta) -> list[ExternalTaskId]:
        """List what has not shown itself for so long, or whose try is older than that; Redis looks for it."""
        milliseconds = [round(duration.total_seconds() * 1000) for duration in (silence, age)]
        with self._reachable():
            found = self._silent(keys=[keys.leases(queue)], args=[keys.entry(""), *milliseconds])
        return cast("list[ExternalTaskId]", found)


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
