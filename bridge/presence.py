"""Keeps this bridge's replica id, and notices when Redis has lost what it knew.

A second bridge under the same id is refused: it would take the first one's external tasks for its own. A bridge that
was away for so long that another has taken its id stops.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.registry import REPLICA_LEASE_SECONDS
from procos.domain.errors import ReplicaTakenError
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from bridge.registry import Registry

TURN_SECONDS = 1.0
PATIENCE_SECONDS = REPLICA_LEASE_SECONDS + 2.0
RETRY_SECONDS = 0.5

log = get_logger(__name__)


class Presence:
    """This bridge's hold on its replica id."""

    def __init__(
        self,
        registry: Registry,
        replica_id: str,
        holders: Iterable[str],
        *,
        recover: Callable[[], None],
        leave: Callable[[], None],
    ) -> None:
        self._registry, self._replica_id, self._holders = registry, replica_id, tuple(holders)
        self._recover, self._leave = recover, leave
        self._must_recover = False
        self.taken_by: str | None = None
        """The bridge that has taken the id from this one."""

    def arrive(self, stop: threading.Event) -> None:
        """Take the replica id, waiting out the lease of a bridge that was killed.

        Raises:
            ReplicaTakenError: another bridge goes on renewing it.
            LedgerUnreachableError: Redis does not answer.
        """
        deadline, holder = time.monotonic() + PATIENCE_SECONDS, None
        while (other := self._registry.hold_replica(self._replica_id)) is not None:
            if time.monotonic() > deadline:
                raise ReplicaTakenError(self._replica_id, other)
            if other != holder:
                log.info("replica.waiting", replica=self._replica_id, held_by=other)
                holder = other
            if stop.wait(RETRY_SECONDS):
                return

    def turn(self) -> None:
        """Renew the lease; leave if another bridge has it, and write anew what Redis has lost.

        The worker ids are shown again each time: another bridge forgets them when this one was cut off for a while.
        """
        other = self._registry.hold_replica(self._replica_id)
        if other is not None:
            log.critical("replica.taken", replica=self._replica_id, by=other)
            self.taken_by = other
            self._leave()
            return
        for holder in self._holders:
            self._registry.register_holder(holder)
        if self._registry.begin_epoch():
            log.error("ledger.flushed", redis=self._registry.address)
            self._must_recover = True
        if self._must_recover:  # and again where the engine does not answer now
            self._recover()
            self._must_recover = False

    def depart(self) -> None:
        """Let the next bridge have the id at once."""
        self._registry.release_replica(self._replica_id)
