"""What becomes of a fetched step that cannot be dispatched: an incident, a try that was none, or another's at once.

Unlocking what is put off would have it fetched again at once, for ever. Its reason stands in Cockpit meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos import metrics
from procos.domain.errors import EngineError, UnreachableError
from procos.domain.retry import RETRY_CONFIG, policy_from_model
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from procos.domain.dispatch import DispatchRef
    from procos.domain.errors import ProcosError
    from procos.domain.external_task import ExternalTask, ExternalTaskId, Topic
    from procos.engine.protocol import Engine
    from procos.routes import Route

PUT_OFF = timedelta(seconds=30)
"""When a step is tried again that was put off."""

log = get_logger(__name__)


def refuse(engine: Engine, task: ExternalTask, error: ProcosError) -> None:
    """Make an incident of a step that no retry can help."""
    _refuse(engine, task.id, task.topic, _holder(task), error)


def refuse_dispatched(engine: Engine, ref: DispatchRef, error: ProcosError) -> None:
    """Make an incident of a step that was reserved already."""
    _refuse(engine, ref.external_task_id, ref.topic, ref.holder, error)


def put_off(engine: Engine, task: ExternalTask, route: Route, reason: str) -> None:
    """Have a step offered again in a while, with as many retries as it has.

    Where the engine does not take that either, its lock runs out, or is found as an orphan's.
    """
    retries = _attempts(task, route) if task.retries is None else task.retries
    try:
        engine.fail(task.id, _holder(task), message=reason, details=reason, retries=retries, retry_in=PUT_OFF)
    except (EngineError, UnreachableError) as error:
        log.warning("external_task.refusal_not_reported", external_task_id=task.id, reason=str(error))
    metrics.dropped(task.topic, metrics.Drop.GIVEN_BACK)


def unlock(engine: Engine, ids: Iterable[ExternalTaskId], *, beat: Callable[[], None]) -> None:
    """Give steps back, for anybody to fetch; what the engine does not take now is offered when its lock runs out."""
    for external_task_id in ids:
        beat()
        try:
            engine.unlock(external_task_id)
        except (EngineError, UnreachableError) as error:
            log.warning("external_task.unlock_failed", external_task_id=external_task_id, reason=str(error))


def _refuse(engine: Engine, task_id: ExternalTaskId, topic: Topic, holder: str, error: ProcosError) -> None:
    log.error("external_task.refused", external_task_id=task_id, topic=topic, reason=str(error))
    text = str(error)
    try:
        engine.fail(task_id, holder, message=text, details=text, retries=0, retry_in=timedelta(0))
    except (EngineError, UnreachableError) as reason:
        log.warning("external_task.refusal_not_reported", external_task_id=task_id, reason=str(reason))
        metrics.dropped(topic, metrics.Drop.OFFERED_AGAIN)
    else:
        metrics.settled(topic, "incident")


def _holder(task: ExternalTask) -> str:
    return task.lease.holder if task.lease else ""


def _attempts(task: ExternalTask, route: Route) -> int:
    text = task.extension_properties.get(RETRY_CONFIG)
    try:
        return policy_from_model(text).attempts if text else route.retry.attempts
    except ValueError:  # it is refused when the step is dispatched
        return route.retry.attempts
