"""The cases: which fault strikes under how much load, and what may come of it at most.

Lost is 0 everywhere. Duplicates are bounded by the slots that were at work when the fault struck, recovery by seconds
from the end of the fault (or of the load, if that is later) until every instance has ended. An instance alone takes
three to four seconds, so the smallest bound leaves a margin of machine time, not of outages.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.chaos import faults
from tests.chaos.stack import AI_SLOTS, GENERIC_SLOTS, SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.faults import Scene

PROMPT, AFTER_OUTAGE, AFTER_LOCK = 15.0, 25.0, 40.0
"""Nothing to wait for; clients that pause up to 5 s between tries; a lease of the bridge (10 s) and a lock (15 s)."""


MIDDLE, EARLY = (1 / 3, 2 / 3), (0.05, 0.15)


class Lane(StrEnum):
    """How much is run: the short lane is part of every change, the full one has what takes long."""

    SHORT = "short"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault, its load, and its bounds."""

    name: str
    title: str
    fault: Callable[[Scene], None]
    duplicates: int
    recovery: float
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


CASES: Sequence[Case] = (
    Case(name="control", title="no fault", fault=faults.nothing, duplicates=0, recovery=PROMPT),
    Case(
        name="worker-kill", title="worker SIGKILL", fault=faults.worker_killed, duplicates=SLOTS, recovery=AFTER_OUTAGE
    ),
    Case(
        name="poison",
        title="poison task",
        fault=faults.nothing,
        duplicates=GENERIC_SLOTS,
        # Each second start waits 4 s in its slot for a sign of the first, and there are two slots.
        recovery=AFTER_LOCK,
        instances=20,
        poison=3,
    ),
    Case(
        name="bridge-kill-fetched",
        title="bridge SIGKILL after fetch",
        fault=faults.after_fetch,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
    ),
    Case(
        name="bridge-kill-reserved",
        title="bridge SIGKILL after reserving",
        fault=faults.after_reserving,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
    ),
    Case(
        name="bridge-kill-published",
        title="bridge SIGKILL after publishing",
        fault=faults.after_publishing,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
    ),
    Case(
        name="bridge-kill-result",
        title="bridge SIGKILL after the result",
        fault=faults.after_result,
        duplicates=0,
        recovery=AFTER_LOCK,
    ),
    Case(
        name="rabbitmq-stop",
        title="RabbitMQ stopped 20 s",
        fault=faults.broker_stopped,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
    ),
    Case(
        name="redis-flush",
        title="Redis flushed",
        fault=faults.redis_flushed,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
        keeps_books=False,
    ),
    Case(
        name="redis-stop",
        title="Redis stopped 20 s",
        fault=faults.redis_stopped,
        duplicates=SLOTS,
        recovery=AFTER_OUTAGE,
    ),
    Case(
        name="engine-stop",
        title="engine stopped 20 s",
        fault=faults.engine_stopped,
        duplicates=0,
        recovery=AFTER_OUTAGE,
    ),
    Case(
        name="engine-kill-h2",
        title="engine SIGKILL, H2",
        fault=faults.engine_killed,
        duplicates=0,
        recovery=AFTER_OUTAGE,
    ),
    Case(
        name="answers-lost",
        title="answers lost after commit",
        fault=faults.answers_lost,
        duplicates=0,
        recovery=AFTER_OUTAGE,
    ),
    Case(
        name="fetches-torn",
        title="fetched without variables",
        fault=faults.fetches_torn,
        duplicates=0,
        recovery=PROMPT,
    ),
    Case(
        name="rolling-restart",
        title="rolling restart",
        fault=faults.rolling_restart,
        duplicates=0,
        recovery=AFTER_OUTAGE,
        instances=80,
        over=35.0,
        strikes=EARLY,
    ),
    Case(
        name="engine-kill-postgres",
        title="engine SIGKILL, PostgreSQL",
        fault=faults.engine_killed,
        duplicates=0,
        recovery=AFTER_OUTAGE,
        on_postgres=True,
    ),
    Case(
        name="link-frozen",
        title="workers' link to RabbitMQ frozen 45 s",
        fault=faults.worker_link_frozen,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
        lane=Lane.FULL,
    ),
    Case(
        name="engine-slow",
        title="engine answers 500 ms late",
        fault=faults.engine_slow,
        duplicates=0,
        recovery=AFTER_OUTAGE,
        over=20.0,
        lane=Lane.FULL,
    ),
    Case(
        name="fetches-late",
        title="engine cut off, then fetches late",
        fault=faults.fetches_late,
        duplicates=0,
        recovery=AFTER_OUTAGE,
        lane=Lane.FULL,
    ),
    Case(
        name="engine-busy",
        title="30 % of the engine's answers are 503",
        fault=faults.engine_busy,
        duplicates=0,
        recovery=AFTER_OUTAGE,
        lane=Lane.FULL,
    ),
    Case(
        name="published-twice",
        title="messages published twice",
        fault=faults.published_twice,
        duplicates=AI_SLOTS,
        recovery=AFTER_OUTAGE,
        lane=Lane.FULL,
    ),
    Case(
        name="clock-skew",
        title="the bridge's clock ± 10 minutes",
        fault=faults.clock_skewed,
        duplicates=0,
        recovery=AFTER_OUTAGE,
        instances=80,
        over=30.0,
        strikes=EARLY,
        lane=Lane.FULL,
    ),
    Case(
        name="rabbitmq-kill",
        title="RabbitMQ SIGKILL",
        fault=faults.broker_killed,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
        lane=Lane.FULL,
    ),
    Case(
        name="child-kill",
        title="pool process SIGKILL",
        fault=faults.child_killed,
        duplicates=GENERIC_SLOTS,
        recovery=AFTER_OUTAGE,
        lane=Lane.FULL,
    ),
)


def chosen(lane: Lane, only: Sequence[str]) -> Sequence[Case]:
    """Return the cases of a lane, or those named.

    Raises:
        ValueError: there is no case of a name.
    """
    unknown = set(only) - {case.name for case in CASES}
    if unknown:
        raise ValueError(
            f"no case is called {', '.join(sorted(unknown))}; there are {', '.join(case.name for case in CASES)}"
        )
    if only:
        return [case for case in CASES if case.name in only]
    return [case for case in CASES if lane is Lane.FULL or case.lane is Lane.SHORT]
