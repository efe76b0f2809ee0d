"""The rule that classifies an error by its code and where it came from, and says what to do about it; nothing else.

| class | is | to do |
|---|---|---|
| `transient` | what another try may pass: no code, TRANSIENT, a library's exception | `retry`, up to three times |
| `limited` | somebody asks for patience | the same |
| `business` | an end that models catch: a code of the routes, or one of a process's own | `none` |
| `permanent` | what no retry can help | `incident` |
| `system` | a part of ProcOS that is down or wrongly set up | `incident` |
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from procos.domain.errors import BusinessError, PermanentError, ProcosError, RateLimited, TaskError, TransientError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MOST_ATTEMPTS = 3
SYSTEM_SOURCE = "system"
EXCEPTION = re.compile(r"[A-Z]\w*[a-z]\w*")
"""How exceptions are called, which is the code of a failure nobody has foreseen; BPMN errors are all capitals."""


class ErrorClass(StrEnum):
    """What kind of error it is."""

    TRANSIENT = "transient"
    LIMITED = "limited"
    BUSINESS = "business"
    PERMANENT = "permanent"
    SYSTEM = "system"


class ErrorAction(StrEnum):
    """What to do about it."""

    RETRY = "retry"
    INCIDENT = "incident"
    NONE = "none"


def _subclasses(root: type[ProcosError]) -> Iterator[type[ProcosError]]:
    for each in root.__subclasses__():
        yield each
        yield from _subclasses(each)


_CODES: Mapping[ErrorClass, Collection[str]] = {
    ErrorClass.TRANSIENT: {"TRANSIENT", TransientError.__name__, "NO_ANSWER"},
    ErrorClass.LIMITED: {"LIMITED", "RATE_LIMITED", RateLimited.__name__},
    ErrorClass.BUSINESS: {"INVALID_INPUT", BusinessError.__name__},
    ErrorClass.PERMANENT: {
        "PERMANENT", PermanentError.__name__, "ValidationError", "VARIABLE", "RESULT", "SCHEMA_INVALID", "SYSTEM_EXIT",
        "STARTED_TOO_OFTEN", "TOO_OLD", "REVOKED", "AUTH_FAILED", "BAD_ANSWER", "MODEL_NOT_FOUND", "NO_PROVIDER",
        "PROVIDER_NOT_CONFIGURED", "QUOTA_EXCEEDED", "REQUEST_REFUSED", "UNKNOWN_PROVIDER",
    },
    ErrorClass.SYSTEM: {
        "SYSTEM_UNHEALTHY", "LOST", "RESULT_MISSING", "RESULT_UNREADABLE", "NOT_REGISTERED", "DISPATCH",
        *(each.__name__ for each in _subclasses(ProcosError) if not issubclass(each, TaskError)),
    },
}  # fmt: skip


def class_of(code: str, *, source: str = "", business: Collection[str] = ()) -> ErrorClass:
    """Return the class of an error; `business` are the codes that the routes declare."""
    for error_class, codes in _CODES.items():
        if code in codes:
            return error_class
    if source == SYSTEM_SOURCE:
        return ErrorClass.SYSTEM
    if code in business:
        return ErrorClass.BUSINESS
    return ErrorClass.TRANSIENT if not code or EXCEPTION.fullmatch(code) else ErrorClass.BUSINESS


def action_for(error_class: ErrorClass, *, attempt: int) -> ErrorAction:
    """Return what to do about an error after `attempt` retries."""
    match error_class:
        case ErrorClass.TRANSIENT | ErrorClass.LIMITED:
            return ErrorAction.RETRY if attempt < MOST_ATTEMPTS else ErrorAction.INCIDENT
        case ErrorClass.BUSINESS:
            return ErrorAction.NONE
    return ErrorAction.INCIDENT
