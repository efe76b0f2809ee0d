"""Who the bridges are, as they tell each other through Redis: replica ids, worker ids, turns, and the epoch.

A replica id is held by a lease that its bridge renews: a second bridge under the same id would take the first one's
external tasks for its own. A turn is the same for a periodic job that one replica does for all. The epoch is a mark
that is gone when Redis has lost its data.
"""

from __future__ import annotations

import os
import socket
import uuid
from typing import TYPE_CHECKING, cast

from bridge.store import Store
from procos import ledger_keys as keys
from procos import registry_scripts as scripts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procos.settings import RedisSettings

REPLICA_LEASE_SECONDS = 10.0


class Registry(Store):
    """This bridge among the others; may be shared by threads."""

    def __init__(self, settings: RedisSettings) -> None:
        super().__init__(settings)
        self.boot_id = f"{uuid.uuid4()} (pid {os.getpid()} on {socket.gethostname()})"
        self._hold = self._redis.register_script(scripts.HOLD)
        self._let_go = self._redis.register_script(scripts.LET_GO)
        self._begin = self._redis.register_script(scripts.EPOCH)
        self._epoch: str | None = None
        self._proposed = str(uuid.uuid4())

    def hold_replica(self, replica_id: str) -> str | None:
        """Take or renew the lease on a replica id; returns which other bridge has it, if one has."""
        return self._held_by(keys.replica(replica_id), REPLICA_LEASE_SECONDS)

    def release_replica(self, replica_id: str) -> None:
        """Let the next bridge have the replica id at once."""
        with self._reachable():
            self._let_go(keys=[keys.replica(replica_id)], args=[self.boot_id])

    def alive(self, replica_ids: Iterable[str]) -> frozenset[str]:
        """Return those of the replica ids that a bridge holds."""
        ids = sorted(set(replica_ids))
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
            for replica_id in ids:
                pipeline.exists(keys.replica(replica_id))
            return frozenset(replica_id for replica_id, found in zip(ids, pipeline.execute(), strict=True) if found)

    def replicas(self) -> frozenset[str]:
        """Return the replica ids of all bridges that run."""
        return self.alive(keys.replica_of(holder) for holder in self.holders())

    def abandoned(self) -> frozenset[str]:
        """Return the worker ids of bridges that are gone."""
        holders = self.holders()
        alive = self.alive(keys.replica_of(holder) for holder in holders)
        return frozenset(holder for holder in holders if keys.replica_of(holder) not in alive)

    def has_turn(self, job: str, seconds: float) -> bool:
        """Take or keep the turn at a periodic job; it passes on when its holder has not asked for `seconds`."""
        return self._held_by(keys.turn(job), seconds) is None

    def pass_turn(self, job: str) -> None:
        """Let another have the turn at once, if it is this bridge's."""
        with self._reachable():
            self._let_go(keys=[keys.turn(job)], args=[self.boot_id])

    def register_holder(self, holder: str) -> None:
        """Remember a worker id of ours, so that any replica may report what it holds."""
        with self._reachable():
            self._redis.sadd(keys.HOLDERS, holder)

    def forget_holder(self, holder: str) -> None:
        """Forget a worker id of a bridge that is gone; one that comes back registers it again."""
        with self._reachable():
            self._redis.srem(keys.HOLDERS, holder)

    def holders(self) -> frozenset[str]:
        """Return every worker id of ours that was ever registered."""
        with self._reachable():
            return frozenset(cast("set[str]", self._redis.smembers(keys.HOLDERS)))

    def is_ours(self, holder: str) -> bool:
        """Whether a worker id belongs to a replica of this bridge."""
        with self._reachable():
            return bool(self._redis.sismember(keys.HOLDERS, holder))

    def begin_epoch(self) -> bool:
        """Write the mark that a flush would take; returns whether it was missing, or is another than this bridge knew.

        So each bridge learns of a flush, whichever of them writes the mark anew. What it would write stays the same
        until Redis has answered: a mark that was written though the answer was lost is then known for its own.
        """
        with self._reachable():
            epoch = str(self._begin(keys=[keys.EPOCH], args=[self._proposed]))
        before, self._epoch = self._epoch, epoch
        if epoch != self._proposed:
            return before is not None and before != epoch
        self._proposed = str(uuid.uuid4())
        return True

    def _held_by(self, name: str, seconds: float) -> str | None:
        with self._reachable():
            answer = self._hold(keys=[name], args=[self.boot_id, round(seconds * 1000)])
        return None if answer == 1 else str(answer)
