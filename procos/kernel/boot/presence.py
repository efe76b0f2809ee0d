"""The kernels of one system: which of them has the turn, and whether a kernel that leaves is the last one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from bridge.registry import Registry
from bridge.store import Store

if TYPE_CHECKING:
    from procos.settings import RedisSettings

KERNELS = "procos:kernels"
"""By kernel, when it last showed itself, on Redis's clock."""
JOB = "kernel"
LEASE_SECONDS = 30.0


class Presence(Store):
    """This kernel among the others."""

    def __init__(self, settings: RedisSettings) -> None:
        super().__init__(settings)
        self._id = str(uuid.uuid4())
        self._registry = Registry(settings)

    def show(self) -> bool:
        """Show that this kernel lives; whether it has the turn, which passes on when its holder has not shown itself.

        Raises:
            LedgerUnreachableError: Redis does not answer.
        """
        with self._reachable():
            self._redis.zadd(KERNELS, {self._id: self._now()})
        return self._registry.has_turn(JOB, LEASE_SECONDS)

    def is_last(self) -> bool:
        """Whether no other kernel lives.

        Raises:
            LedgerUnreachableError: Redis does not answer.
        """
        with self._reachable():
            self._redis.zremrangebyscore(KERNELS, "-inf", self._now() - LEASE_SECONDS)
            return int(self._redis.zcard(KERNELS)) <= (self._redis.zscore(KERNELS, self._id) is not None)

    def leave(self) -> None:
        """Give back the turn, and be no longer counted.

        Raises:
            LedgerUnreachableError: Redis does not answer.
        """
        with self._reachable():
            self._redis.zrem(KERNELS, self._id)
        self._registry.pass_turn(JOB)

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6
