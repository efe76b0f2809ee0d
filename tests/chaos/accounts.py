"""The law of the bridge's counters over one case: what was fetched is settled, dropped with a reason, or open.

A bridge that was killed takes its counts with it, and a flush of Redis takes open entries, so the law is checked where
the same bridge has lived through the whole case, and the ledger too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from tests.chaos.stack import BRIDGE
from tests.conservation import Books, open_entries, read_books

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.stack import Stack

ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The books of the bridge that lives at this moment."""

    pid: int
    books: Books
    still_open: int


def account(stack: Stack) -> Account:
    """Read the books."""
    answer = requests.get(f"http://127.0.0.1:{stack.health_port}/metrics", timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    url = stack.services.redis.environment["PROCOS_REDIS_URL"]
    return Account(pid=stack.programs[BRIDGE].pid, books=read_books(answer.text), still_open=open_entries(url))


def unbalanced(before: Account, after: Account) -> Iterator[str]:
    """Say what does not add up between two moments of the same bridge."""
    if before.pid != after.pid:
        return
    books = after.books - before.books
    if not books.are_balanced(still_open=after.still_open - before.still_open):
        yield (
            f"the counters do not add up: fetched {books.fetched:g}, settled {books.settled:g}, "
            f"dropped {books.dropped:g}, open {after.still_open - before.still_open}"
        )
