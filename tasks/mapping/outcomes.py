"""Applies what a model says of output and errors to how a task ended; `tasks.task` calls it with every outcome.

What goes wrong here is a failure of its own, and is not handed to an errorExpression: a broken expression must not be
able to hide itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import TransientError, VariableError
from procos.domain.outcome import Completion, Failure, Outcome, outcome_of
from procos.domain.retry import policy_of, retries_left

if TYPE_CHECKING:
    from procos.domain.dispatch import Dispatch
    from procos.domain.retry import RetryPolicy
    from procos.settings import Settings

SYSTEM_EXIT = "SYSTEM_EXIT"
"""The code of a task that called sys.exit: a fault of the worker's code that no model should decide about."""


def mapped(outcome: Outcome, dispatch: Dispatch, policy: RetryPolicy, *, settings: Settings) -> Outcome:
    """Return what the model makes of an outcome; where it says nothing, the outcome.

    Args:
        outcome: how the task ended.
        dispatch: what it was handed, the mapping included.
        policy: the route's, for models that say nothing of retries.
        settings: how large results may be.
    """
    mapping = dispatch.mapping
    if mapping is None or (isinstance(outcome, Failure) and outcome.code == SYSTEM_EXIT):
        return outcome
    if isinstance(outcome, Completion):
        from tasks.mapping.results import mapped_result

        try:
            return Completion(variables=mapped_result(mapping, outcome.variables, settings))
        except (TransientError, VariableError) as fault:
            return outcome_of(fault)
    if mapping.error_expression is None:
        return outcome
    from tasks.mapping.errors import mapped_error

    left = retries_left(policy_of(dispatch.ref.retry_config, policy), dispatch.ref.retries)
    return mapped_error(mapping.error_expression, outcome, retries=left, settings=settings)
