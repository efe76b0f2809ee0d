"""The engine's answers, as errors: one table of status, type, code and message.

The 500 of optimistic locking and the 500 of a broken model differ only in `code`; the 404 of a finished external task
and the 404 of a wrong address differ only in the body. Source: Camunda 7.24 manual, REST API "Error Handling" and
"Exception Codes" (1 optimistic locking, 10000 deadlock, 10001 foreign key, 10002 column size).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from procos.domain.errors import (
    EngineBusyError,
    EngineConflictError,
    EngineDeniedError,
    EngineError,
    EngineMisconfiguredError,
    EngineRejectedError,
    LeaseLostError,
    TaskGoneError,
    TaskSuspendedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIMISTIC_LOCKING, DEADLOCK, FOREIGN_KEY = 1, 10000, 10001
COLUMN_SIZE = 10002
TOO_LARGE, INTERNAL_ERROR = 413, 500
BUSY_KINDS = {"RestException", "InvalidRequestException"}
DATABASE_KINDS = {"CannotCreateTransactionException", "TransactionSystemException"}
"""The engine lives, its database does not answer; seen on Camunda 7.24 with PostgreSQL stopped."""
BUSY_TEXTS = ("too many requests", "shut down", "shutdown", "could not acquire")
LEASE_TEXTS = ("locked by worker", "lock that expired", "not locked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that is not success; `kind` is the body's type, empty when the body is not the engine's."""

    status: int
    kind: str = ""
    message: str = ""
    code: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


def fault(answer: Answer, *, address: str) -> EngineError:
    """Choose the error for an answer; the message names the address where that is the thing to mend."""
    cause = _class_of(answer)
    return cause(
        _message(cause, answer, address),
        status=answer.status,
        kind=answer.kind,
        code=answer.code,
        details=answer.details,
    )


def _class_of(answer: Answer) -> type[EngineError]:
    text = answer.message.lower()
    match answer.status:
        case 401 | 403:
            return EngineDeniedError
        case 408 | 429 | 502 | 503 | 504:
            return EngineBusyError
        case 404:
            return _not_found(answer)
        case 413:  # said by a proxy, whose limit the next try meets too
            return EngineRejectedError
        case 400 if any(part in text for part in LEASE_TEXTS):
            return LeaseLostError
        case 400 if "is suspended" in text:
            return TaskSuspendedError
        case 500:
            return _internal(answer, text)
        case status if not answer.kind and status < INTERNAL_ERROR:
            return EngineMisconfiguredError
    return EngineRejectedError


def _internal(answer: Answer, text: str) -> type[EngineError]:
    """Tell collisions and overload, which pass, from a model or value that will fail again."""
    if answer.code in {OPTIMISTIC_LOCKING, DEADLOCK, FOREIGN_KEY}:
        return EngineConflictError
    is_overload = answer.kind in BUSY_KINDS and any(part in text for part in BUSY_TEXTS)
    # Without a type it is not the engine's own answer: a proxy's, or that of a server which is falling over.
    if is_overload or answer.kind in DATABASE_KINDS or not answer.kind:
        return EngineBusyError
    return EngineRejectedError


def _not_found(answer: Answer) -> type[EngineError]:
    if answer.kind != "RestException":
        return EngineMisconfiguredError
    return TaskGoneError if answer.message.startswith("External task with id") else EngineRejectedError


def _message(cause: type[EngineError], answer: Answer, address: str) -> str:
    said = f": {answer.message}" if answer.message else ""
    if cause is EngineDeniedError:
        return (
            f"the engine at {address} refuses the credentials ({answer.status}){said}. "
            "Set PROCOS_ENGINE_USER and PROCOS_ENGINE_PASSWORD, or PROCOS_ENGINE_TOKEN, or PROCOS_ENGINE_OAUTH_*."
        )
    if cause is EngineMisconfiguredError:
        return (
            f"{address} does not answer like a Camunda 7 REST API ({answer.status}){said}. "
            "PROCOS_ENGINE_URL is the REST root, such as http://localhost:8080/engine-rest."
        )
    if answer.status == TOO_LARGE:
        return f"the engine, or a proxy before it, finds the request too large (413){said}"
    return answer.message or f"the engine answered {answer.status}"
