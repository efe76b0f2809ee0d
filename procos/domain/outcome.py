"""How a dispatch ended: what the worker returns, and what the bridge tells the engine.

A worker returns a completion, a BPMN error or a postponement as an *envelope* (plain JSON, so that it travels in the
success callback), and raises a failure as `TaskFailed`, whose one argument is JSON, so that Celery and Flower count it
as a failure and the bridge reads it from the stored result without rebuilding any class.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from procos.domain.errors import (
    BlobsUnreachableError,
    BusinessError,
    DispatchError,
    NewerVersionError,
    PermanentError,
    ProcosError,
    RateLimited,
    TransientError,
    VariableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVELOPE_VERSION = 1
LONGEST_ADVICE = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The work is done; `variables` are the result."""

    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BpmnError:
    """The work ended in a way the model may catch."""

    code: str
    message: str = ""
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponement:
    """The work could not be tried now; try again later without using up a retry."""

    retry_in: timedelta
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The work failed; `permanent` means that no retry can help, `retry_in` overrides the retry policy's delay.

    `worker` names who ran it; empty where nobody did, or an older worker did not say.
    """

    message: str
    details: str = ""
    code: str = "TRANSIENT"
    permanent: bool = False
    retry_in: timedelta | None = None
    worker: str = ""


Outcome = Completion | BpmnError | Postponement | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a worker returns; not a dict, since Celery logs what a task returns and variables are never logged."""

    fields: Mapping[str, object]

    def __json__(self) -> Mapping[str, object]:
        """Return the JSON object; kombu's encoder asks for it."""
        return self.fields

    def __repr__(self) -> str:
        variables = self.fields.get("variables")
        names = ", ".join(sorted(variables)) if isinstance(variables, dict) else ""
        return f"<{self.fields['kind']}: {names}>" if names else f"<{self.fields['kind']}>"


class TaskFailed(ProcosError):  # noqa: N818  # read in Flower, where it stands beside SUCCESS and FAILURE
    """Raised by the task wrapper to end a Celery task as a failure; its one argument is the failure as JSON."""

    def __init__(self, payload: str) -> None:
        super().__init__(payload)
        self.payload = payload

    def __repr__(self) -> str:
        failure = failure_from_json(self.payload)
        return f"{failure.code}: {failure.message}"

    __str__ = __repr__


def outcome_of(error: BaseException, details: str = "") -> Outcome:
    """Map what a task raised to an outcome; what is not a `TaskError` counts as transient."""
    match error:
        case BusinessError():
            return BpmnError(code=error.code, message=error.message, variables=error.variables)
        case RateLimited():
            return Postponement(retry_in=_bounded(error.retry_in), reason=str(error))
        case PermanentError():
            return Failure(message=str(error), details=details, code=error.code, permanent=True)
        case TransientError():
            retry_in = None if error.retry_in is None else _bounded(error.retry_in)
            return Failure(message=str(error), details=details, code=error.code, retry_in=retry_in)
        case VariableError():
            return Failure(message=str(error), details=details, code="VARIABLE", permanent=True)
        case BlobsUnreachableError():
            return Failure(message=str(error), details=details, code="BLOBS_UNREACHABLE")
    return Failure(message=f"{type(error).__name__}: {error}", details=details, code=type(error).__name__)


def _bounded(advice: timedelta) -> timedelta:
    """Keep an author's advice within what travels as a number of seconds."""
    return min(max(advice, timedelta(0)), LONGEST_ADVICE)


def to_envelope(outcome: Completion | BpmnError | Postponement) -> Envelope:
    """Write what a worker returns as the JSON object that travels in the callback."""
    return Envelope(fields={"procos": ENVELOPE_VERSION, **_fields(outcome)})


def _fields(outcome: Completion | BpmnError | Postponement) -> dict[str, object]:
    match outcome:
        case Completion(variables=variables):
            return {"kind": "completion", "variables": dict(variables)}
        case BpmnError(code=code, message=message, variables=variables):
            return {"kind": "bpmn_error", "code": code, "message": message, "variables": dict(variables)}
        case Postponement(retry_in=retry_in, reason=reason):
            return {"kind": "postponement", "retry_in": retry_in.total_seconds(), "reason": reason}


def from_envelope(source: object) -> Completion | BpmnError | Postponement:
    """Read an envelope.

    Raises:
        DispatchError: it is not one, or of a newer version.
    """
    if not isinstance(source, dict) or "procos" not in source:
        raise DispatchError("the task's result is not an envelope; is the task written with @process_task?")
    version = source["procos"]
    if isinstance(version, int) and version > ENVELOPE_VERSION:
        raise NewerVersionError(f"envelope version {version}; this ProcOS reads version {ENVELOPE_VERSION}")
    if version != ENVELOPE_VERSION:
        raise DispatchError(f"envelope version {version!r}; this ProcOS reads version {ENVELOPE_VERSION}")
    try:
        return _read_envelope(cast("dict[str, object]", source))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DispatchError(f"malformed envelope: {error!r}") from error


def failure_to_json(failure: Failure) -> str:
    """Write a failure as the text that becomes the exception's argument."""
    retry_in = None if failure.retry_in is None else failure.retry_in.total_seconds()
    return json.dumps(
        {
            "procos": ENVELOPE_VERSION,
            "message": failure.message,
            "details": failure.details,
            "code": failure.code,
            "permanent": failure.permanent,
            "retry_in": retry_in,
            "worker": failure.worker,
        }
    )


def failure_from_json(text: str) -> Failure:
    """Read a failure's text; anything that is not one becomes a failure with that text as message."""
    try:
        fields = json.loads(text)
        retry_in = fields["retry_in"]
        return Failure(
            message=str(fields["message"]),
            details=str(fields["details"]),
            code=str(fields["code"]),
            permanent=fields["permanent"] is True,
            retry_in=None if retry_in is None else timedelta(seconds=float(retry_in)),
            worker=str(fields.get("worker", "")),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return Failure(message=text)


def _read_envelope(source: dict[str, object]) -> Completion | BpmnError | Postponement:
    match source["kind"]:
        case "completion":
            return Completion(variables=_variables(source))
        case "bpmn_error":
            return BpmnError(
                code=str(source["code"]), message=str(source.get("message", "")), variables=_variables(source)
            )
        case "postponement":
            retry_in = timedelta(seconds=float(cast("float", source["retry_in"])))
            return Postponement(retry_in=retry_in, reason=str(source["reason"]))
    raise ValueError(f"kind {source['kind']!r}")


def _variables(source: dict[str, object]) -> dict[str, object]:
    variables = source["variables"]
    if not isinstance(variables, dict):
        raise TypeError("variables are not an object")
    return {str(name): value for name, value in variables.items()}
