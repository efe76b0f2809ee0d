"""What a task may know about the step it serves, beside its input."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.errors import StepCancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
    from procos.settings import Settings
    from tasks.blobs import StepBlobs


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """The step a task serves; `deadline` is a moment of the monotonic clock."""

    external_task_id: ExternalTaskId
    process_instance_id: ProcessInstanceId
    business_key: str | None
    topic: Topic
    celery_id: str
    settings: Settings
    deadline: float
    cancelled: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this step: hand it to services that can refuse doubles."""
        return self.external_task_id

    @property
    def blobs(self) -> StepBlobs:
        """The store of large values and files: `put`, `open`, `read`, `text`."""
        from tasks.blobs import StepBlobs

        return StepBlobs(settings=self.settings, process_instance_id=self.process_instance_id)

    def remaining(self) -> timedelta:
        """How long the task may still take; never negative."""
        return timedelta(seconds=max(self.deadline - self.clock(), 0.0))

    def is_cancelled(self) -> bool:
        """Whether the step was cancelled, so that going on would be work for nobody."""
        return self.cancelled()

    def raise_if_cancelled(self) -> None:
        """Stop here if the step was cancelled.

        Raises:
            StepCancelled: it was; no outcome is reported.
        """
        if self.cancelled():
            raise StepCancelled("the step was cancelled")
