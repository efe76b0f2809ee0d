"""The law of `procos.metrics`, as a check: what was fetched is settled, dropped with a reason, or open.

Read the books of every replica before and after, and count the open entries of the ledger in between; the counts of a
bridge that was killed are gone, so a case that kills one reads its books first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
from prometheus_client.parser import text_string_to_metric_families

from procos.ledger_keys import State, entry
from procos.metrics import Drop

if TYPE_CHECKING:
    from collections.abc import Iterable

FETCHED, SETTLED, DROPPED = "procos_bridge_fetched_total", "procos_bridge_settled_total", "procos_bridge_dropped_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The sums of one or more replicas."""

    fetched: float = 0
    settled: float = 0
    dropped: float = 0
    unreserved: float = 0
    """Among the dropped: those whose entry Redis may have written all the same."""

    def __add__(self, other: Books) -> Books:
        return self._with(other, 1)

    def __sub__(self, other: Books) -> Books:
        return self._with(other, -1)

    def _with(self, other: Books, sign: int) -> Books:
        return Books(
            fetched=self.fetched + sign * other.fetched,
            settled=self.settled + sign * other.settled,
            dropped=self.dropped + sign * other.dropped,
            unreserved=self.unreserved + sign * other.unreserved,
        )

    def are_balanced(self, *, still_open: int) -> bool:
        """Whether the law holds."""
        return 0 <= self.settled + self.dropped + still_open - self.fetched <= self.unreserved


def read_books(*expositions: str | bytes) -> Books:
    """Add up what the replicas' `/metrics` say."""
    total = Books()
    for text in expositions:
        total += _books(text if isinstance(text, str) else text.decode())
    return total


def open_entries(url: str) -> int:
    """Count the entries of the ledger that are open: in any state but backing_off."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        states = [client.hget(key, "state") for key in client.scan_iter(entry("*"))]
    return sum(state is not None and state != State.BACKING_OFF for state in states)


def _books(text: str) -> Books:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, reasons: Iterable[str] = ()) -> float:
        wanted = set(reasons)
        return sum(s.value for s in samples if s.name == name and (not wanted or s.labels["reason"] in wanted))

    return Books(
        fetched=total(FETCHED),
        settled=total(SETTLED),
        dropped=total(DROPPED),
        unreserved=total(DROPPED, [Drop.UNRESERVED]),
    )
