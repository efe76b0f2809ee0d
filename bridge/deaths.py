"""Reads a dead letter: which dispatch it is, and how that ended, so that one incident can name the reason.

What Celery stored about the task counts first: it may have ended well, with the acknowledgement lost; a worker that
does not know it says so there. Else RabbitMQ's reason for the death is put into words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bridge.moving import OURS
from bridge.outcomes import LARGEST_BODY, failure_of, stored_outcome
from procos.domain.dispatch import DispatchRef
from procos.domain.errors import DispatchError
from procos.domain.outcome import Failure, Outcome
from procos.queues import DELIVERY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

CAUSE = f"{OURS}cause"
"""Keeps the broker's reason while a dead letter waits its turn, since copies leave behind what the broker noted."""

DELIVERY_LIMITED, REJECTED = "delivery_limit", "rejected"
"""RabbitMQ's words."""

NOT_REGISTERED = "NotRegistered"
LIKELY_KILLER = "it kills its worker, or the worker is too old to read it"
JSON = "application/json"
LONGEST_NAME = 100


def dispatch_in(message: Any) -> DispatchRef:
    """Read which dispatch a Celery task is, whatever content type it claims: nothing but JSON is ever read.

    Raises:
        DispatchError: the message is too large, malformed, or not one of ours.
        NewerVersionError: it is of a newer version.
    """
    body = message.body or b""
    if len(body) > LARGEST_BODY:
        raise DispatchError(f"a body of {len(body)} bytes; at most {LARGEST_BODY} are read")
    try:
        parts = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DispatchError(f"the body is no JSON: {type(error).__name__}") from error
    match parts:
        case [_, {"dispatch": dispatch}, _]:
            return DispatchRef.from_json(dispatch)
    raise DispatchError("not a Celery protocol 2 message with a dispatch")


def cause_of(message: Any, queue: str) -> str:
    """Return RabbitMQ's word for why the message left this queue, empty where there is none."""
    kept = message.headers.get(CAUSE)
    if isinstance(kept, str):
        return kept
    deaths = message.headers.get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and death.get("queue") == queue:
            return str(death.get("reason", ""))
    return ""


def outcome_of_death(message: Any, queue: str, stored: Mapping[str, Any] | None) -> Outcome:
    """Say how the dispatch ended that lies dead in a message of this queue."""
    status = (stored or {}).get("status")
    if status == "SUCCESS":
        return stored_outcome(stored)
    if status == "FAILURE":
        failure = failure_of(stored)
        return _unregistered(message, queue) if failure.code == NOT_REGISTERED else failure
    return _as_the_broker_says(message, queue)


def _unregistered(message: Any, queue: str) -> Failure:
    text = f"no worker knows the task {_name(message)}: is the package installed on the workers of queue {queue!r}?"
    return Failure(message=text, code="NOT_REGISTERED", permanent=True)


def _as_the_broker_says(message: Any, queue: str) -> Failure:
    cause, task = cause_of(message, queue), f"the task {_name(message)}"
    if cause == DELIVERY_LIMITED:
        times = f"{DELIVERY_LIMIT + 1} times"
        code, text = "DELIVERY_LIMIT", f"{task} was delivered {times} without an answer: {LIKELY_KILLER}"
    elif cause == REJECTED and message.content_type != JSON:
        kind = str(message.content_type)[:LONGEST_NAME]
        code, text = "CONTENT_REFUSED", f"a worker refused {task}: its content is {kind!r} instead of {JSON!r}"
    elif cause == REJECTED:
        code, text = "REJECTED", f"a worker of queue {queue!r} refused {task} as malformed; its log says why"
    else:
        why = f"RabbitMQ says {cause[:LONGEST_NAME]!r}" if cause else "the log of its workers may say why"
        code, text = "DEAD_LETTERED", f"{task} was dead-lettered from queue {queue!r}: {why}"
    return Failure(message=text, code=code, permanent=True)


def _name(message: Any) -> str:
    name = message.headers.get("task")
    return repr(name[:LONGEST_NAME]) if isinstance(name, str) else "without a name"
