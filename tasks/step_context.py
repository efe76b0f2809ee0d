"""Makes the `TaskContext` of a run; called by the wrapper of `@process_task`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.context import TaskContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.dispatch import Dispatch
    from procos.route import Route
    from procos.settings import Settings
    from tasks.runs import Run

LONGEST_MARGIN = 1.0
PART = 20
"""The twentieth part of its time limit, a second at most: a task gives up before Celery strikes, which it does not
foresee, and can still say how far it came."""


def context_of(
    dispatch: Dispatch, run: Run, request: Any, route: Route, settings: Settings, *, began: float
) -> TaskContext:
    """Return the context of a run that began at a moment of the monotonic clock."""
    limit = route.time_limit.total_seconds() if route.time_limit else settings.worker.time_limit
    return TaskContext(
        external_task_id=dispatch.ref.external_task_id,
        process_instance_id=dispatch.ref.process_instance_id,
        business_key=dispatch.business_key,
        topic=dispatch.ref.topic,
        celery_id=request.id,
        settings=settings,
        deadline=began + limit - min(limit / PART, LONGEST_MARGIN),
        started_before=_was_started_before(run, request),
        cancelled=run.cancelled.is_set,
        constants=_constants(dispatch),
    )


def _was_started_before(run: Run, request: Any) -> bool:
    """Take the broker's word, where nobody counts: what it delivers again may have been started."""
    if run.starts is not None:
        return run.starts > 1
    return bool((request.delivery_info or {}).get("redelivered"))


def _constants(dispatch: Dispatch) -> Mapping[str, str]:
    return {name: text for name in dispatch.constants if isinstance(text := dispatch.variables.get(name), str)}
