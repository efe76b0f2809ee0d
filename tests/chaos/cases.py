"""Every case there is, in the order in which they run; each is written beside its fault, in `parts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.case import PROMPT, Case, Lane, Part
from tests.chaos.parts import bridge, engine, hosts, links, replicas, services, workers
from tests.chaos.scene import nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTROL = Case(
    name="control",
    title="no fault",
    part=Part.NOTHING,
    story="Each step has its effect once.",
    fault=nothing,
    duplicates=0,
    recovery=PROMPT,
)

CASES: Sequence[Case] = (
    CONTROL,
    *workers.CASES,
    *hosts.CASES,
    *bridge.CASES,
    *replicas.CASES,
    *services.BROKER,
    *services.REDIS,
    *engine.OUTAGES,
    *engine.ANSWERS,
    *links.LINKS,
    *links.REPEATED,
    *bridge.CLOCKS,
    # Last, beside each other: they share an engine on PostgreSQL.
    *engine.ON_POSTGRES,
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
