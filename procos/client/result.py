"""What became of a process instance: its state, its variables and its steps, as values and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.client.watching import Snapshot, StepView

COMPLETED, ACTIVE = "COMPLETED", "ACTIVE"
"""States of an instance in the engine's history."""
ERROR_CODE = "error_code"
"""A process that ends with the variable `error_code` set counts as failed: models catch errors and say so this way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An instance as it was last seen, with its variables at that moment."""

    last: Snapshot
    variables: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def state(self) -> str:
        """COMPLETED, EXTERNALLY_TERMINATED, INTERNALLY_TERMINATED, ACTIVE or SUSPENDED, as the engine says it."""
        return self.last.instance.state

    @property
    def is_good(self) -> bool:
        """Whether it was completed, and the model did not say that an error was the end of it."""
        return self.state == COMPLETED and not self.variables.get(ERROR_CODE)

    @property
    def incidents(self) -> list[str]:
        """Where it waits for a person, and why."""
        return [f"{incident.activity_id}: {incident.message}" for incident in self.last.incidents]

    @property
    def ended_at(self) -> str | None:
        """The name of the end event it came to, None while it came to none."""
        ends = [activity for activity in self.last.passed if activity.kind.lower().endswith("endevent")]
        return ends[-1].name if ends else None

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        instance = self.last.instance
        if instance.ended is None:
            return round(self.last.elapsed, 3)
        return (instance.ended - instance.started).total_seconds()

    def to_json(self) -> dict[str, object]:
        """Return it as plain values, those of `procos run --json`."""
        return {
            "process_instance_id": self.last.instance.id,
            "process_key": self.last.instance.key,
            "state": self.state,
            "ended_at": self.ended_at,
            "duration_s": self.seconds,
            "steps": [_step(view) for view in self.last.steps],
            "variables": dict(self.variables),
            "incidents": self.incidents,
        }


def _step(view: StepView) -> dict[str, object]:
    activity, step = view.activity, view.step
    return {
        "activity_id": activity.activity_id,
        "name": activity.name,
        "topic": step.topic if step else None,
        "queue": step.queue if step else None,
        "worker": step.worker if step else None,
        "outcome": step.state if step else None,
        "starts": step.starts if step else None,
        "duration_s": view.seconds,
    }
