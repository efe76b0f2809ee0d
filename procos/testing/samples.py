"""Values for tests: complete where it does not matter, named where it does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.dispatch import DispatchRef
from procos.domain.external_task import ExternalTask, ExternalTaskId, Lease, ProcessInstanceId, Token, Topic
from procos.domain.variables import as_typed
from procos.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.variables import TypedValue

HOLDER = "bridge/ai"


def typed(**values: object) -> dict[str, TypedValue]:
    """Return values as the engine would send them; those that have its types already stay as they are."""
    return {name: as_typed(name, value) for name, value in values.items()}


def external_task(
    external_task_id: str = "task-1",
    *,
    topic: str = "ai_query",
    lease: Lease | None = Lease(holder=HOLDER, expires=START + timedelta(minutes=5)),  # noqa: B008  # frozen
    retries: int | None = None,
    variables: Mapping[str, TypedValue] | None = None,
    business_key: str | None = None,
    priority: int = 0,
    process_key: str = "sample",
    extension_properties: Mapping[str, str] | None = None,
) -> ExternalTask:
    """Return an external task as a fetch brings it."""
    return ExternalTask(
        id=ExternalTaskId(external_task_id),
        topic=Topic(topic),
        process_instance_id=ProcessInstanceId(f"instance-of-{external_task_id}"),
        process_definition_key=process_key,
        activity_id="step",
        lease=lease,
        retries=retries,
        business_key=business_key,
        priority=priority,
        variables=variables or {},
        extension_properties=extension_properties or {},
    )


def dispatch_ref(
    external_task_id: str = "task-1",
    *,
    token: int = 1000,
    holder: str = HOLDER,
    topic: str = "ai_query",
    retries: int | None = None,
) -> DispatchRef:
    """Return the reference of a dispatch."""
    return DispatchRef(
        external_task_id=ExternalTaskId(external_task_id),
        token=Token(token),
        holder=holder,
        topic=Topic(topic),
        process_instance_id=ProcessInstanceId(f"instance-of-{external_task_id}"),
        activity_id="step",
        retries=retries,
    )
