"""What a case is: a fault, the part it strikes, its load, and its bounds.

Lost is 0 everywhere. Duplicates are bounded by the slots that were at work when the fault struck, recovery by seconds
from the end of the fault (or of the load, if that is later) until every instance has ended. An instance alone takes
three to four seconds, so the smallest bound leaves a margin of machine time, not of outages.

The files of `parts` hold the cases, each beside its fault; `cases` lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tests.chaos.scene import Scene

PROMPT, AFTER_OUTAGE, AFTER_LOCK = 15.0, 25.0, 40.0
"""Nothing to wait for; clients that pause up to 5 s between tries; a lease of the bridge (10 s) and a lock (15 s)."""

MIDDLE, EARLY = (1 / 3, 2 / 3), (0.05, 0.15)
ALONE = "-alone"
"""Ends the name of a case whose twin reports in lists."""


class Lane(StrEnum):
    """How much is run: the short lane is part of every change, the full one has what takes long."""

    SHORT = "short"
    FULL = "full"


class Part(StrEnum):
    """What is struck, in the words of a heading and in the order of the page."""

    NOTHING = "Nothing dies"
    WORKER = "A worker dies"
    HOST = "A worker's host is gone"
    BRIDGE = "The bridge dies"
    RABBITMQ = "RabbitMQ dies"
    REDIS = "Redis dies"
    ENGINE = "The engine dies, or answers badly"
    DATABASE = "The engine's database dies"
    LINK = "A network link fails"
    ORDER = "Clocks are wrong, messages come twice"


class Verdicts(StrEnum):
    """How the engine lets itself be told of results: many in a call, as ours does, or one by one, as any stock one."""

    LISTED = "listed"
    ALONE = "alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault, its load, and its bounds."""

    name: str
    title: str
    part: Part
    story: str
    """What becomes of the work, in a sentence for people who run ProcOS."""
    fault: Callable[[Scene], None]
    duplicates: int
    recovery: float
    limits: Mapping[str, float] = field(default_factory=dict)
    """Further seconds the fault measures, by what they are, and the most they may be."""
    instances: int = 40
    over: float = 10.0
    """Seconds over which the instances are started."""
    strikes: tuple[float, float] = MIDDLE
    """Between which parts of that time the fault strikes."""
    poison: int = 0
    """Instances of a model whose step kills its process, beside the others."""
    on_postgres: bool = False
    keeps_books: bool = True
    """Whether the counters of a bridge that lives on must add up: a flush takes open entries with it."""
    lane: Lane = Lane.SHORT
    verdicts: Verdicts = Verdicts.LISTED
    counts_verdicts: bool = False
    """Whether it proves something only if verdicts did go the way they should."""


def both_ways(case: Case, *, short: Collection[Verdicts] = ()) -> tuple[Case, Case]:
    """Return a case that faults reports once for each way to report; `short` says which belong to the short lane."""

    def lane(verdicts: Verdicts) -> Lane:
        return Lane.SHORT if verdicts in short else Lane.FULL

    listed = replace(case, lane=lane(Verdicts.LISTED), counts_verdicts=True)
    alone = replace(
        listed,
        name=case.name + ALONE,
        title="the same, one call for each result",
        story="As above.",
        verdicts=Verdicts.ALONE,
        lane=lane(Verdicts.ALONE),
    )
    return listed, alone
