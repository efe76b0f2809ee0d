"""Topic `system_initialization`: looks whether the parts of the system are there, and records what it finds.

It starts nothing: that is the business of `procos up`, or of the platform. A part that is down is its result and not
its failure, so that a system that comes up slowly is watched from its first minute. Running it twice is harmless: it
only looks.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # pydantic reads it
from typing import Any

from pydantic import BaseModel, Field

from procos.logs import get_logger
from tasks.system.part_checks import part_checks
from tasks.system.parts_state import SystemState, state_of
from tasks.task import TaskContext, process_task

log = get_logger(__name__)


class SystemInitializationInput(BaseModel):
    """How the system was started; kept with the process, for people."""

    system_mode: str = "normal"
    kernel_version: str | None = None
    startup_time: datetime | str | None = None


class SystemInitializationOutput(BaseModel):
    """What was found of each part."""

    system_state: dict[str, Any] = Field(description="by part: healthy, and the reason where it is not")
    system_ready: bool
    system_troubles: list[str]


@process_task(topic="system_initialization")
def system_initialization(start: SystemInitializationInput, context: TaskContext) -> SystemInitializationOutput:  # noqa: ARG001  # what it is given is kept with the process
    """Look at every part."""
    return initialized(state_of(part_checks(context.settings)))


def initialized(state: SystemState) -> SystemInitializationOutput:
    """Return what the process keeps of a state."""
    log.info("system.looked_at", ready=state.is_healthy, troubles=state.troubles)
    return SystemInitializationOutput(
        system_state=state.as_variable(), system_ready=state.is_healthy, system_troubles=state.troubles
    )
