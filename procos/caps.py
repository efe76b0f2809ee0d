"""Caps: how many external tasks of a topic, or of all that share a limit, may be in flight at once.

Routes declare them (`Route.at_once`, `Route.limits`). Topics of one queue with the same caps form a group, which is
fetched by itself: one fetch has one number of tasks, and a group that is full must not hold up the others. The ledger
counts the places that are taken, over all queues and bridges.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from procos import ledger_keys as keys
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.external_task import Topic
    from procos.routes import Route

FREE = ""
"""The group of the topics without a cap."""
PLAIN = re.compile(r"[\w.+-]{1,60}")
"""A group's name that may stand in a worker id as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """One cap, and the queues of the topics it holds for."""

    name: str
    at_once: int
    queues: tuple[str, ...]

    def pairs(self, own: str = "") -> list[tuple[str, str]]:
        """Return the keys of its places and of the leases that make them count, for each queue, the own one first."""
        ordered = sorted(self.queues, key=lambda queue: (queue != own, queue))
        return [(keys.cap(self.name, queue), keys.leases(queue)) for queue in ordered]


def caps_of(table: Mapping[Topic, Route]) -> Mapping[Topic, tuple[Cap, ...]]:
    """Return the caps of every topic that has some."""
    queues: dict[str, set[str]] = {}
    for topic, route in table.items():
        for name, _ in _declared(topic, route):
            queues.setdefault(name, set()).add(str(route.queue))
    capped = {
        topic: tuple(
            Cap(name=name, at_once=at_once, queues=tuple(sorted(queues[name])))
            for name, at_once in _declared(topic, route)
        )
        for topic, route in table.items()
    }
    return {topic: caps for topic, caps in capped.items() if caps}


@cache
def all_caps() -> Mapping[Topic, tuple[Cap, ...]]:
    """Return the caps of the whole route table."""
    return caps_of(routes())


def places(topic: Topic, queue: str) -> list[str]:
    """Return the keys under which an external task of a topic takes its places."""
    return [cap.pairs(queue)[0][0] for cap in all_caps().get(topic, ())]


def groups(served: Mapping[Topic, Route], caps: Mapping[Topic, tuple[Cap, ...]]) -> Mapping[str, Mapping[Topic, Route]]:
    """Return the routes of a queue by the name of their group; the free one stands first."""
    grouped: dict[str, dict[Topic, Route]] = {}
    for topic, route in sorted(served.items(), key=lambda row: _group_name(caps.get(row[0], ()))):
        grouped.setdefault(_group_name(caps.get(topic, ())), {})[topic] = route
    return grouped


def _declared(topic: Topic, route: Route) -> list[tuple[str, int]]:
    own = [] if route.at_once is None else [(f"topic.{topic}", route.at_once)]
    return own + sorted({(f"limit.{limit.name}", limit.at_once) for limit in route.limits})


def _group_name(caps: tuple[Cap, ...]) -> str:
    """Name a group alike at every start, in characters that a worker id may have."""
    name = "+".join(cap.name for cap in caps)
    return name if not name or PLAIN.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()[:16]
