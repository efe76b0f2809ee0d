"""What becomes of a task's error where the model has an errorExpression: another error, another try, or no error."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from procos.domain import variables as rules
from procos.domain.errors import TransientError, VariableError
from procos.domain.mapping import ERROR_EXPRESSION, EXPRESSION_FAILED
from procos.domain.outcome import LONGEST_ADVICE, BpmnError, Completion, Failure, Outcome, Postponement
from procos.domain.retry import duration_of
from procos.logs import get_logger
from tasks.large_values import Limit, largest_result
from tasks.mapping.expressions import evaluate, failed
from tasks.mapping.results import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.settings import Settings

RATE_LIMITED = "RATE_LIMITED"

log = get_logger(__name__)

Error = BpmnError | Failure | Postponement


def mapped_error(expression: str, error: Error, *, retries: int, settings: Settings) -> Outcome:
    """Return what the expression makes of an error; the error itself where it yields nothing.

    What is wrong with the expression is a failure that tells the error too, so that neither is lost.

    Args:
        expression: the errorExpression.
        error: what the task came to.
        retries: tries that would be left after this one.
        settings: how large variables may be.
    """
    try:
        evaluation = evaluate(ERROR_EXPRESSION, expression, {"error": _seen(error), "retries": retries}, judges=True)
        if evaluation.verdict is not None:
            outcome = _judged(evaluation.verdict, error, settings)
        elif evaluation.value is None:
            return error
        else:
            yielded = f"yields {kind_of(evaluation.value)}"
            raise failed(ERROR_EXPRESSION, f"{yielded}, expected nothing, or $bpmnError, $jobError or $ignoreError")
    except TransientError as fault:
        return _broken(str(fault), error)
    except VariableError as fault:
        return _broken(f"{ERROR_EXPRESSION}: {fault}", error)
    log.info("task.error_mapped", code=code_of(error), outcome=type(outcome).__name__)
    return outcome


def code_of(error: Error) -> str:
    """Return the code an expression sees; a postponement has none of its own."""
    return RATE_LIMITED if isinstance(error, Postponement) else error.code


def _seen(error: Error) -> dict[str, object]:
    retry_in = None if isinstance(error, BpmnError) else error.retry_in
    return {
        "code": code_of(error),
        "message": _message(error),
        "kind": _kind(error),
        "variables": {name: rules.plain(name, value) for name, value in _variables(error).items()},
        "retry_in": None if retry_in is None else retry_in.total_seconds(),
    }


def _kind(error: Error) -> str:
    match error:
        case BpmnError():
            return "business"
        case Postponement():
            return "rate_limited"
        case Failure():
            return "permanent" if error.permanent else "transient"


def _message(error: Error) -> str:
    return error.reason if isinstance(error, Postponement) else error.message


def _variables(error: Error) -> Mapping[str, object]:
    return error.variables if isinstance(error, BpmnError) else {}


def _details(error: Error) -> str:
    return error.details if isinstance(error, Failure) else ""


def _judged(verdict: Mapping[str, Any], error: Error, settings: Settings) -> Outcome:
    variables, limit = verdict["variables"] or {}, largest_result(settings)
    if verdict["kind"] == "jobError":  # nothing of a failure is put into the blob store
        limit = Limit(bytes=settings.worker.largest_result, cure="")
    rules.check(variables, largest=limit.bytes, cure=limit.cure, travels=limit.travels)
    match verdict["kind"]:
        case "bpmnError":
            return BpmnError(code=verdict["code"], message=verdict["message"] or _message(error), variables=variables)
        case "jobError":
            retries = verdict["retries"]
            return Failure(
                message=verdict["message"],
                details=_details(error),
                code=code_of(error),
                permanent=retries == 0,
                retry_in=_wait(verdict["retryIn"], error),
                retries=retries,
                variables=variables,
            )
        case _:
            return Completion(variables=variables)


def _wait(given: str | float | None, error: Error) -> timedelta | None:
    """Read the wait that was asked for; without one, what the error itself advised."""
    if given is None:
        return None if isinstance(error, BpmnError) else error.retry_in
    if isinstance(given, str):
        try:
            return duration_of(given)
        except ValueError:  # its words quote what may be data
            raise failed(ERROR_EXPRESSION, "gives $jobError a retryIn that is no duration such as PT5M") from None
    return timedelta(seconds=min(given, LONGEST_ADVICE.total_seconds()))


def _broken(fault: str, error: Error) -> Failure:
    text = f"{fault}; the error was {code_of(error)}: {_message(error)}"
    return Failure(
        message=text,
        details="\n\n".join(filter(None, [text, _details(error)])),
        code=EXPRESSION_FAILED,
        retry_in=None if isinstance(error, BpmnError) else error.retry_in,
    )
