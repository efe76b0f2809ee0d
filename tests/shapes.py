"""What the tests of validation, transformation and formatting share: the context of a step, without services."""

from __future__ import annotations

import time

from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from procos.settings import load_settings
from tasks.context import TaskContext

DAY = 86_400.0
"""Seconds: a module makes its context when it is read, and its tests may run an hour later."""


def context_of(topic: str, *, seconds: float = DAY, **environment: str) -> TaskContext:
    """Return the context of a step, with settings from such an environment."""
    return TaskContext(
        external_task_id=ExternalTaskId("task-1"),
        process_instance_id=ProcessInstanceId("instance-1"),
        business_key=None,
        topic=Topic(topic),
        celery_id="celery-1",
        settings=load_settings(environment, dotenv=None),
        deadline=time.monotonic() + seconds,
    )
