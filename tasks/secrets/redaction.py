"""Strikes the secrets a run was handed out of its outcome; called by the wrapper of `@process_task`.

What goes on as data, variables and codes, is kept free of what this very run was handed, so that a step gives the same
result in whatever process it runs. What people read is kept free of all that its process knows to be secret: a client
that was made for an earlier run may quote that one's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from procos.domain.outcome import BpmnError, Completion, Failure, Postponement
from procos.logs import struck

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.outcome import Outcome
    from procos.domain.redaction import Redaction


def without_secrets(outcome: Outcome, run: Redaction) -> Outcome:
    """Return an outcome as it may leave the worker."""
    match outcome:
        case Completion():
            return replace(outcome, variables=_variables(outcome.variables, run)) if run else outcome
        case BpmnError():
            return replace(
                outcome,
                code=run.strike(outcome.code),
                message=_text(outcome.message, run),
                variables=_variables(outcome.variables, run),
            )
        case Postponement():
            return replace(outcome, reason=_text(outcome.reason, run))
        case Failure():
            return replace(
                outcome,
                code=run.strike(outcome.code),
                message=_text(outcome.message, run),
                details=_text(outcome.details, run),
                variables=_variables(outcome.variables, run),
            )


def _text(text: str, run: Redaction) -> str:
    return struck(run.strike(text))


def _variables(variables: Mapping[str, object], run: Redaction) -> Mapping[str, object]:
    return cast("Mapping[str, object]", run.strike_in(dict(variables))) if run else variables
