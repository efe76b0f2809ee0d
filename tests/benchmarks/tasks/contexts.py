"""The context of a step that is measured, as the wrapper would make it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from tasks.context import TaskContext

if TYPE_CHECKING:
    from procos.settings import Settings


def context_of(topic: str, settings: Settings) -> TaskContext:
    """Return the context of a step that may take minutes."""
    return TaskContext(
        external_task_id=ExternalTaskId("bench"),
        process_instance_id=ProcessInstanceId("bench"),
        business_key=None,
        topic=Topic(topic),
        celery_id="bench",
        settings=settings,
        deadline=time.monotonic() + 600,
    )
