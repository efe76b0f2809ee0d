"""Watches a process instance: what the engine's history says of it, joined with what bridge and workers wrote.

History is read, not the runtime, so that watching works while the instance runs and after it ended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from procos.domain.errors import LedgerUnreachableError
from procos.ledger_keys import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
    from procos.engine.processes import Activity, Incident, Instance, Processes
    from procos.steps import Step, Steps

QUICK, STEADY = 0.1, 0.5
"""Seconds between looks: quick for the first second, since most steps are short, then sparing the engine."""
LAST_LOOKS = 10
"""How often one looks again at an instance that has ended, until the bridge has written down the end of every step."""
IN_FLIGHT = {State.RESERVED.value, State.PUBLISHED.value, State.STARTED.value, State.REPORTING.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One external task of the diagram, and its Celery side where it is known."""

    activity: Activity
    step: Step | None

    @property
    def id(self) -> str:
        """The external task's id; a step that is passed again has another."""
        return str(self.activity.external_task_id)

    @property
    def status(self) -> str:
        """Where it is: waiting, queued, started, …; at its end completed, bpmn_error, cancelled or ended."""
        if self.activity.ended is not None:
            known = self.step.state if self.step and self.step.state not in IN_FLIGHT else "ended"
            return "cancelled" if self.activity.is_cancelled else known
        if self.step is None:
            return "waiting"
        if not self.step.worker:
            return "queued"
        # A verdict that history does not show yet: the step's end is told once, when it does.
        is_open = self.step.state in {*IN_FLIGHT, State.BACKING_OFF.value, State.LOST.value}
        return self.step.state if is_open else State.STARTED.value

    @property
    def seconds(self) -> float | None:
        """How long it took, from when the instance arrived to its end; None while it is open."""
        ended = self.activity.ended
        return None if ended is None else (ended - self.activity.started).total_seconds()

    @property
    def news(self) -> tuple[object, ...]:
        """What has to differ for it to be shown once more."""
        return self.status, self.step and self.step.worker, self.activity.ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An instance at one moment."""

    instance: Instance
    steps: Sequence[StepView]
    passed: Sequence[Activity]
    incidents: Sequence[Incident]
    elapsed: float

    @property
    def is_settled(self) -> bool:
        """Whether no step of it is in flight any more, as far as the ledger tells."""
        return not any(view.step and view.step.state in IN_FLIGHT for view in self.steps)


class InstanceWatch:
    """Looks at one instance again and again."""

    def __init__(
        self, processes: Processes, steps: Steps, instance_id: ProcessInstanceId, *, wait: Callable[[float], object]
    ) -> None:
        self._processes, self._steps, self._instance_id = processes, steps, instance_id
        self._wait = wait

    def snapshots(self, *, timeout: float) -> Iterator[Snapshot]:
        """Yield what there is to see until the instance ends, waits for a person, or the time is up."""
        begun, last_looks = time.monotonic(), LAST_LOOKS
        while True:
            snapshot = self._snapshot(time.monotonic() - begun)
            yield snapshot
            last_looks -= snapshot.instance.has_ended
            is_over = snapshot.instance.has_ended and (snapshot.is_settled or not last_looks)
            if is_over or snapshot.incidents or snapshot.elapsed > timeout:
                return
            self._wait(QUICK if snapshot.elapsed < 1 else STEADY)

    def _snapshot(self, elapsed: float) -> Snapshot:
        # The instance first: if it has ended, everything read after it is complete.
        instance = self._processes.instance(self._instance_id)
        activities = self._processes.activities(self._instance_id)
        incidents = [] if instance.has_ended else self._processes.incidents(self._instance_id)
        external = [activity for activity in activities if activity.external_task_id]
        seen = self._seen([activity.external_task_id for activity in external if activity.external_task_id])
        return Snapshot(
            instance=instance,
            steps=[StepView(activity=activity, step=_step_of(activity, seen)) for activity in external],
            passed=activities,
            incidents=incidents,
            elapsed=elapsed,
        )

    def _seen(self, task_ids: Sequence[ExternalTaskId]) -> Mapping[ExternalTaskId, Step]:
        try:
            return self._steps.of(self._instance_id, task_ids)
        except LedgerUnreachableError:
            return {}


def _step_of(activity: Activity, seen: Mapping[ExternalTaskId, Step]) -> Step | None:
    return seen.get(activity.external_task_id) if activity.external_task_id else None
