"""How many leases are extended in a turn, and for how long: little while little is in flight, evenly when it is much.

With thousands in flight, most wait in a queue for a long while. Their leases are then extended by longer spans, so that
the engine has no more to do for ten thousand than for one; and some go before they are due, so that a burst of fetches
does not come back as a burst of extensions at every half-time.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MANY = 1000
"""In flight on one queue; what is below this is extended when it is due, by the span of its fetch."""
LONGEST_SPAN = timedelta(minutes=30)
"""What may be left of a lock when its bridge, the ledger and the message are lost all at once."""
HORIZONS = tuple(timedelta(seconds=5 * 1.5**step) for step in range(15))
"""How far ahead leases are counted: from a few seconds to half of the longest span and beyond."""


def stretch(lease: timedelta, in_flight: int) -> timedelta:
    """Return the span to extend a lease of this length by, when so many are in flight."""
    return max(lease, min(lease * in_flight / MANY, LONGEST_SPAN))


def share(due: Sequence[int], turn: timedelta) -> int:
    """Return how many to extend in this turn, so that no later one has more to do; `due` counts up to each horizon.

    None while few are in flight: then each is extended at half-time and not before.
    """
    if due[-1] < MANY:
        return 0
    return math.ceil(max(count * (turn / horizon) for count, horizon in zip(due, HORIZONS, strict=True)))
