"""Takes over what a bridge that is gone has left: what it had fetched and not published is offered to the others.

Results it had taken are RabbitMQ's to give to another, leases anybody's to extend; only what never left it needs this.
A bridge is gone when its lease on its replica id has run out: then its worker ids are looked at at once, a few times,
and seldom after that, until they hold nothing any more. One replica does it for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.parked_poll import end_parked_poll
from bridge.unclaimed import IN_HAND_FOR, sighting, sightings
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bridge.registry import Registry
    from bridge.unclaimed import Unclaimed
    from procos.domain.external_task import ExternalTaskId, Token
    from procos.engine.protocol import Engine

TURN_SECONDS = 1.0
QUICK_LOOKS = 4
"""Turns in which a worker id is looked at after its bridge is gone; it takes two to release something."""
LOOKS_APART = 30
"""Turns from one look to the next after that."""

log = get_logger(__name__)


class Succession:
    """Sees to the worker ids of bridges that are gone; belongs to one thread."""

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        unclaimed: Unclaimed,
        queues: Collection[str],
        *,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._registry, self._unclaimed = engine, registry, unclaimed
        self._queues, self._beat = tuple(queues), beat
        self._looks: dict[str, int] = {}
        self._seen: dict[str, frozenset[tuple[ExternalTaskId, Token | None]]] = {}

    def turn(self) -> None:
        """Look at those worker ids that are due for it."""
        gone = self._registry.abandoned()
        self._looks = {holder: self._looks.get(holder, 0) for holder in gone}
        due = [holder for holder in sorted(gone) if _is_due(self._looks[holder])]
        for holder in due:
            self._look_at(holder)
        if due:
            self._release_reserved(due)
        self._looks = {holder: looks + 1 for holder, looks in self._looks.items()}

    def _look_at(self, holder: str) -> None:
        """Release what was there in the look before this one too."""
        self._beat()
        if self._looks[holder] == 0:
            log.warning("replica.gone", holder=holder)
            # It would go on taking tasks for nobody.
            end_parked_poll(self._engine, holder)
        orphans = self._unclaimed.held_by(holder)
        before, self._seen[holder] = self._seen.get(holder, frozenset()), sightings(orphans)
        self._unclaimed.release(task.id for task in orphans if sighting(task) in before)
        if self._looks[holder] > QUICK_LOOKS and not self._engine.held_by(holder):
            self._registry.forget_holder(holder)
            del self._seen[holder]

    def _release_reserved(self, holders: Collection[str]) -> None:
        reserved = [entry for entry in self._unclaimed.reserved(self._queues) if entry.silence >= IN_HAND_FOR]
        self._unclaimed.release(entry.ref.external_task_id for entry in reserved if entry.ref.holder in holders)


def _is_due(looks: int) -> bool:
    return looks < QUICK_LOOKS or looks % LOOKS_APART == 0
