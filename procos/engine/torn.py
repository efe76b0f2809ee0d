"""Recognises a fetched external task that the engine read in two halves: the task, but none of its variables.

The engine fetches in one transaction of several statements, under READ COMMITTED. A sibling branch that ends between
them rearranges the executions, and the walk up to the instance's variables finds nothing; seen on Camunda 7.24.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procos.domain.errors import EngineError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import ExternalTask, ProcessInstanceId
    from procos.engine.subscription import Subscription


def is_torn(task: ExternalTask, subscription: Subscription, variables_of: Callable[[ProcessInstanceId], Any]) -> bool:
    """Whether a task came without any variables although its instance has some that were asked for."""
    wanted = subscription.variables
    if task.variables or wanted == ():
        return False
    try:
        there = variables_of(task.process_instance_id)
    except (EngineError, UnreachableError):  # not shown, gone, or away: nothing to compare with
        return False
    names = set(there) if isinstance(there, dict) else set()
    return bool(names if wanted is None else names.intersection(wanted))
