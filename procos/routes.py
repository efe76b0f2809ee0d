"""The routes of all topics, by which the bridge knows them, without importing a task.

Those that come with ProcOS are in `procos.route_table`; the system on one page. Packages of third parties add theirs by
the entry point group `procos.routes`: each entry names a mapping from topic to `Route`. `routes()` is the merged table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING

from procos.domain.errors import SettingsError
from procos.packages import ROUTES as GROUP
from procos.packages import described, loaded, package_of
from procos.queues import fault_of_name
from procos.route import OURS, Limit, Route
from procos.route_table import ROUTES

if TYPE_CHECKING:
    from procos.domain.external_task import Topic

__all__ = ["ROUTES", "Limit", "Route", "by_queue", "routes"]


@cache
def routes() -> Mapping[Topic, Route]:
    """Return the built-in routes and those of installed packages.

    Raises:
        SettingsError: a package cannot be loaded, claims a topic or a task that is taken, or has a wrong route.
    """
    merged = dict(ROUTES)
    for entry in entry_points(group=GROUP):
        added = loaded(entry, GROUP)
        if not _is_table(added):
            raise SettingsError([f"{described(entry, GROUP)} is not a mapping of topic to Route"])
        if taken := sorted(merged.keys() & added.keys()):
            raise SettingsError([f"{described(entry, GROUP)} claims topics that are taken: {', '.join(taken)}"])
        merged.update({topic: _sourced(route, package_of(entry)) for topic, route in added.items()})
    if problems := [*_wrong_queues(merged), *_shared_names(merged), *_wrong_caps(merged)]:
        raise SettingsError(problems)
    return MappingProxyType(merged)


def by_queue() -> Mapping[str, Mapping[Topic, Route]]:
    """Return the routes grouped by the queue they publish to."""
    grouped: dict[str, dict[Topic, Route]] = {}
    for topic, route in routes().items():
        grouped.setdefault(route.queue, {})[topic] = route
    return grouped


def _is_table(added: object) -> bool:
    """Whether what an entry point names can be a table of routes: topics are texts, not empty ones."""
    if not isinstance(added, Mapping):
        return False
    return all(isinstance(topic, str) and topic and isinstance(route, Route) for topic, route in added.items())


def _sourced(route: Route, package: str) -> Route:
    return replace(route, source=package) if route.source == OURS else route


def _wrong_queues(table: Mapping[Topic, Route]) -> list[str]:
    """Say which routes name a queue that cannot be one of tasks."""
    faults = {topic: fault_of_name(route.queue) for topic, route in table.items()}
    return [f"route {topic} of {table[topic].source}: {fault}" for topic, fault in faults.items() if fault]


def _shared_names(table: Mapping[Topic, Route]) -> list[str]:
    """Say which routes name the same Celery task: one function would serve both topics, and nobody would notice."""
    problems: list[str] = []
    known: dict[str, Topic] = {}
    for topic, route in table.items():
        first = known.setdefault(route.task_name, topic)
        if first != topic:
            problems.append(f"route {topic} of {route.source}: task {route.task_name!r} is that of topic {first}")
    return problems


def _wrong_caps(table: Mapping[Topic, Route]) -> list[str]:
    """Say which caps allow nothing, or differ between two routes."""
    problems: list[str] = []
    known: dict[str, tuple[int, Topic]] = {}
    for topic, route in table.items():
        if route.at_once is not None and route.at_once < 1:
            problems.append(f"route {topic}: at_once is {route.at_once}, expected 1 or more")
        for limit in route.limits:
            at_once, first = known.setdefault(limit.name, (limit.at_once, topic))
            if limit.at_once != at_once:
                problems.append(
                    f"limit {limit.name!r} is {at_once} in route {first} and {limit.at_once} in route {topic}"
                )
            if not limit.name or limit.at_once < 1:
                problems.append(
                    f"route {topic}: limit {limit.name!r} of {limit.at_once}, expected a name and 1 or more"
                )
    return problems
