"""Reads a callback from RabbitMQ: which dispatch it is about, and how that ended.

Celery's link brings the task's result with it; link_error brings only the failed id, and what happened is read from the
raw result Celery stored, without rebuilding the exception's class (which would import names chosen by the message).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from procos.domain.dispatch import DispatchRef
from procos.domain.errors import DispatchError, NewerVersionError
from procos.domain.outcome import Failure, Outcome, TaskFailed, failure_from_json, from_envelope
from procos.task_messages import COMPLETE, FAIL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.ledger import Ledger

LARGEST_BODY = 32 * 1024 * 1024
"""Bytes of a callback that are still parsed; a larger one is dead-lettered unread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A dispatch and its outcome."""

    ref: DispatchRef
    outcome: Outcome


def read_callback(message: Any, ledger: Ledger) -> Callback:
    """Read a message of the queue `callbacks`.

    Raises:
        DispatchError: it is not one of ours, malformed, or of a newer version.
        LedgerUnreachableError: a failure's stored result cannot be read now.
    """
    name = message.headers.get("task")
    args, kwargs = _body(message)
    ref = DispatchRef.from_json(kwargs.get("dispatch"))
    if name == COMPLETE:
        return Callback(ref=ref, outcome=outcome_in(args[0]))
    if name == FAIL:
        return Callback(ref=ref, outcome=stored_outcome(ledger.stored_result(ref.celery_id)))
    raise DispatchError(f"no callback is called {name!r}")


def outcome_in(envelope: object) -> Outcome:
    """Read what a task returned; what is no envelope is a failure, since its step must not wait for ever.

    Raises:
        NewerVersionError: the envelope is of a newer version.
    """
    try:
        return from_envelope(envelope)
    except NewerVersionError:
        raise
    except DispatchError as error:
        return Failure(message=str(error), code="RESULT_UNREADABLE", permanent=True)


def stored_outcome(meta: Mapping[str, Any] | None) -> Outcome:
    """Read the outcome from the result Celery stored; a task may have succeeded although its worker was lost after."""
    if meta and meta.get("status") == "SUCCESS":
        return outcome_in(meta.get("result"))
    return failure_of(meta)


def failure_of(meta: Mapping[str, Any] | None) -> Failure:
    """Read the failure from the result Celery stored."""
    if not meta or not isinstance(meta.get("result"), dict):
        return Failure(message="the task failed, and its result is not stored", code="RESULT_MISSING")
    result = cast("Mapping[str, Any]", meta["result"])
    if meta.get("status") == "REVOKED":
        return _revoked(result)
    kind, arguments = str(result.get("exc_type", "")), result.get("exc_message")
    text = arguments[0] if isinstance(arguments, list) and arguments else arguments
    if kind == TaskFailed.__name__ and isinstance(text, str):
        return failure_from_json(text)
    return Failure(
        message=f"{kind}: {text}",
        details=str(meta.get("traceback") or ""),
        code=kind,
        permanent=kind == "NotRegistered",
    )


def _revoked(result: Mapping[str, Any]) -> Failure:
    """Somebody, or an expiry date, has stopped the task: that is a decision, so the step waits for a person."""
    why = result.get("exc_message")
    words = str(why[0] if isinstance(why, list) and why else why or "revoked")
    return Failure(
        message=f"the Celery task was stopped by Celery's remote control: {words}", code="REVOKED", permanent=True
    )


def _body(message: Any) -> tuple[list[object], Mapping[str, object]]:
    if len(message.body or b"") > LARGEST_BODY:
        raise DispatchError(f"a body of {len(message.body)} bytes; at most {LARGEST_BODY} are read")
    try:
        args, kwargs, _embed = message.decode()
    except Exception as error:  # any decoder's error means the same: this is not a callback
        raise DispatchError(f"not a Celery protocol 2 message: {error}") from error
    if not isinstance(args, list) or len(args) != 1 or not isinstance(kwargs, dict):
        raise DispatchError("not a Celery protocol 2 message with one argument")
    return args, kwargs
