"""The steps of the state machine's world: their routes, and what a test knows of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from procos.domain.external_task import ExternalTaskId, Topic
from procos.domain.retry import RetryPolicy
from procos.routes import Limit, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICY = RetryPolicy(attempts=3, first_delay=timedelta(seconds=8), longest_delay=timedelta(seconds=20))
ROUTES: Mapping[Topic, Route] = MappingProxyType(
    {
        Topic(topic): Route(
            task_name=f"t.{topic}",
            queue=queue,
            module="m",
            retry=POLICY,
            store_result=stores,
            at_once=at_once,
            limits=() if at_once is None else (Limit(name="api", at_once=3),),
        )
        for topic, queue, stores, at_once in (
            ("ask", "ai", True, None),
            ("count", "generic", True, 2),
            ("cheap", "generic", False, 3),
        )
    }
)
MOST_STARTS = 3
CAUGHT = "CAUGHT"


@dataclass(slots=True, eq=False)
class Step:
    """What a test knows of one external task."""

    id: ExternalTaskId
    topic: Topic
    runs: int = 0
    failed_runs: int = 0
    hard_failures: int = 0
    """Runs that ended in what is an incident at once."""
    excuses: int = 0
    """Faults each of which may cost one more run."""
    copies: int = 0
    """Messages the broker had although the bridge could not know it."""
    deaths: int = 0
    lost_messages: int = 0
    resets: int = 0
    is_unbounded: bool = False
    """Redis was away or lost its data: nobody can know what runs."""
    was_given_back: bool = False
    """A publication of it was refused, though an earlier copy may run."""
    times_parked: int = 0
    was_suspended: bool = False
    """Its lease was not extended meanwhile, since the engine refuses to."""
    cancelled_at: int | None = None
    failed_at: int = -1
    """When the engine took a failure or postponement last."""
    has_result: bool = False
    """A run has ended well, and its callback reached the broker."""
