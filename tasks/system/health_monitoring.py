"""Topic `health_monitoring`: looks at the parts of the system again and again, on a timer of the model.

It counts how often in a row something was wrong, so that the model can tell a moment from an outage. A part that is
down is its result and not its failure. Services behind connections are told apart from the parts: where one is away,
the steps that need it wait, and the system itself is well. Running it twice is harmless: it only looks, and the count
comes from the input.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from procos.logs import get_logger
from tasks.adapters.health import RecentLooks, troubles
from tasks.system.part_checks import part_checks
from tasks.system.parts_state import SystemState, state_of
from tasks.task import TaskContext, process_task

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMED = 10
"""Connections; what is told of them fits the engine's text column."""
recent_looks = RecentLooks()

log = get_logger(__name__)


class HealthMonitoringInput(BaseModel):
    """What the check before this one found."""

    consecutive_troubles: int = Field(0, ge=0, description="checks in a row that found something wrong")


class HealthMonitoringOutput(BaseModel):
    """What this check found, and when."""

    system_healthy: bool
    system_troubles: list[str]
    checked_at: str = Field(description="ISO 8601, UTC")
    consecutive_troubles: int
    connection_troubles: list[str] = Field([], description="services that do not answer, or do not let us in")


@process_task(topic="health_monitoring")
def health_monitoring(before: HealthMonitoringInput, context: TaskContext) -> HealthMonitoringOutput:
    """Look at every part, and at every service that this worker has a connection to."""
    state = state_of(part_checks(context.settings))
    away = troubles(recent_looks.of(context.settings))
    return checked(state, away, before=before.consecutive_troubles, now=datetime.now(UTC))


def checked(state: SystemState, away: Sequence[str] = (), *, before: int, now: datetime) -> HealthMonitoringOutput:
    """Return what the process keeps of a state; `before` is how many troubled checks came right before."""
    if away:
        log.warning("connections.troubled", troubles=list(away))
    if not state.is_healthy:
        log.warning("system.unhealthy", troubles=state.troubles, in_a_row=before + 1)
    return HealthMonitoringOutput(
        system_healthy=state.is_healthy,
        system_troubles=state.troubles,
        checked_at=now.isoformat(timespec="seconds"),
        consecutive_troubles=0 if state.is_healthy else before + 1,
        connection_troubles=list(away[:MOST_NAMED]),
    )
