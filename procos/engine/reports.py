"""What the engine is told of a step, as values: its result, a failed try, or a BPMN error; and how each is written.

`HttpEngine` sends them one by one, `BulkReports` many in a call; both write the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from procos.engine.wire import LONGEST_MESSAGE, milliseconds, storable, typed_variables_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from procos.domain.external_task import ExternalTaskId
    from procos.domain.variables import TypedValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The step has ended with a result."""

    verb: ClassVar[str] = "complete"
    external_task_id: ExternalTaskId
    holder: str
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """A try has failed; 0 retries make an incident."""

    verb: ClassVar[str] = "failure"
    external_task_id: ExternalTaskId
    holder: str
    message: str
    details: str
    retries: int
    retry_in: timedelta
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throw:
    """A BPMN error is thrown at the step."""

    verb: ClassVar[str] = "bpmnError"
    external_task_id: ExternalTaskId
    holder: str
    code: str
    message: str
    variables: Mapping[str, object] = field(default_factory=dict)


Report = Complete | Fail | Throw


def variables_of(report: Report) -> Mapping[str, object]:
    """Return the variables a report brings."""
    return report.variables


def fields_of(report: Report, variables: Mapping[str, TypedValue]) -> dict[str, object]:
    """Write a report with its variables as the body of the engine's call for it."""
    body: dict[str, object] = {"workerId": report.holder}
    match report:
        case Complete():
            body |= {"variables": typed_variables_to_json(variables)}
        case Throw():
            body |= {
                "errorCode": report.code,
                "errorMessage": storable(report.message)[:LONGEST_MESSAGE],
                "variables": typed_variables_to_json(variables),
            }
        case Fail():
            body |= {
                "errorMessage": storable(report.message)[:LONGEST_MESSAGE],
                "errorDetails": storable(report.details or report.message),
                "retries": report.retries,
                "retryTimeout": milliseconds(report.retry_in),
            }
            if variables:
                body["variables"] = typed_variables_to_json(variables)
    return body
