"""Whose turn it is when some topics fill every fetch: nobody waits behind a flood, whatever its priority or age.

The engine orders by priority, then by age. So ten thousand old tasks of one topic, or of two by turns, hold up five of
another for as long as they last. When a full fetch was filled by some topics and brought nothing of another, those that
did not fill it are asked for first, up to a quarter of the room; those that got something wait until each had its turn,
so those that flood share. Within each fetch the engine's order holds, and so it does where each topic has its part.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from procos.domain.external_task import Topic

FILLED = 0.75
"""What part of a fetch the topics that fill it have together: as few as make it up."""
SHARE_OF_OTHERS = 4
"""One part in so many of the room."""
REST_SECONDS = 0.2
"""How long the others are not asked again when they had nothing: such a question costs the engine a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """The topics to ask for first, and for how many."""

    topics: frozenset[Topic]
    room: int


class Fairness:
    """What a poller remembers of its last fetches."""

    def __init__(self, topics: Collection[Topic]) -> None:
        self._topics = frozenset(topics)
        self._served: frozenset[Topic] = frozenset()
        """Those that have had their turn since some began to fill every fetch; empty while none do."""
        self._rests_until = 0.0

    def first(self, room: int, now: float) -> Others | None:
        """Say who is to be asked before everybody is."""
        others = self._topics - self._served
        if not self._served or not others or now < self._rests_until:
            return None
        return Others(topics=others, room=max(1, room // SHARE_OF_OTHERS))

    def note_first(self, fetched: Sequence[Topic], asked: int, now: float) -> None:
        """Learn what those had that were asked first."""
        if len(fetched) == asked:
            self._served |= set(fetched)
            return
        self._served = frozenset()
        if not fetched:
            self._rests_until = now + REST_SECONDS

    def note_all(self, fetched: Sequence[Topic], asked: int) -> None:
        """Learn what a fetch for everybody brought."""
        if len(fetched) < asked:
            self._served = frozenset()
            return
        if filling := self._filling(fetched, asked):
            self._served = filling if self._served >= self._topics else self._served | filling

    def _filling(self, fetched: Sequence[Topic], asked: int) -> frozenset[Topic]:
        """Return the topics that filled a fetch; none where it brought something of every topic."""
        counts = Counter(fetched)
        filling: set[Topic] = set()
        left = asked * FILLED if counts.keys() < self._topics else 0.0
        for topic, count in counts.most_common():
            if left <= 0:
                break
            filling.add(topic)
            left -= count
        return frozenset(filling)
