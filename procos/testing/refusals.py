"""What the engine in memory refuses, in the words of a real one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos.engine.faults import Answer, fault
from procos.testing.calls import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.domain.errors import EngineError
    from procos.domain.external_task import ExternalTask
    from procos.engine.reports import Throw
    from procos.engine.subscription import Subscription

NOTHING = timedelta(0)
LONGEST_WAIT = timedelta(milliseconds=1_800_000)


def check_fetch(subscriptions: Sequence[Subscription], wait: timedelta) -> None:
    """Refuse a fetch whose times the engine refuses."""
    if wait < NOTHING:
        raise refused(500, "asyncResponseTimeout is negative", kind="InvalidRequestException")
    if wait > LONGEST_WAIT:
        text = f"The asynchronous response timeout cannot be set to a value greater than {LONGEST_WAIT}"
        raise refused(400, text, kind="InvalidRequestException")
    if any(subscription.lock_duration <= NOTHING for subscription in subscriptions):
        raise refused(500, "lockDuration is not greater than 0", kind="ProcessEngineException")


def not_yours(task: ExternalTask, holder: str, verb: str) -> EngineError:
    """Return the refusal of whoever does not hold the lock."""
    other = task.lease.holder if task.lease else "null"
    return refused(
        400, f"External Task {task.id} cannot be {verb} by worker '{holder}'. It is locked by worker '{other}'."
    )


def uncaught(report: Throw) -> EngineError:
    """Return the refusal of a BPMN error that nothing catches."""
    text = f"ENGINE-13033 Propagation of bpmn error {report.code} ({report.message}) failed: not caught by anything"
    return refused(500, text, kind="ProcessEngineException", code=0)


def refused(status: int, message: str, *, kind: str = "RestException", code: int | None = None) -> EngineError:
    """Return the error for what the engine says."""
    return fault(Answer(status=status, kind=kind, message=message, code=code), address=ADDRESS)
