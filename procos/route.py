"""A route: where the external tasks of a topic go, and with which lease, limits and retries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from procos.domain.retry import RetryPolicy

if TYPE_CHECKING:
    from datetime import timedelta

OURS = "procos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many external tasks of all topics that name it may be in flight at once, over every queue and bridge."""

    name: str
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the external tasks of a topic go."""

    task_name: str
    queue: str
    module: str
    variables: tuple[str, ...] | None = None
    """The variables the task reads; only these are fetched. None fetches all."""
    lock_duration: timedelta | None = None
    """None means PROCOS_BRIDGE_LOCK_DURATION."""
    time_limit: timedelta | None = None
    """None means PROCOS_WORKER_TIME_LIMIT."""
    largest_age: timedelta | None = None
    """How long one try may take, queue and postponements included; None means PROCOS_BRIDGE_LARGEST_AGE."""
    max_starts: int = 3
    """Starts of one dispatch after which the step becomes an incident: the stop for tasks that kill their process."""
    store_result: bool = True
    """Stored results answer a lost callback; without them the step runs again."""
    at_once: int | None = None
    """Most external tasks of this topic in flight, over all bridges; the rest wait in the engine. None caps nothing."""
    limits: tuple[Limit, ...] = ()
    """Caps shared with other topics, for what they have in common: an API, a licence, a database."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    errors: tuple[str, ...] = ()
    """The BPMN errors the task may raise, INVALID_INPUT apart; `procos deploy` says which a model leaves uncaught."""
    source: str = OURS
    """The package it is from; set to its name where a package leaves it out."""
