"""Topic `http_request`: asks a service over HTTP, by a connection of the operator's or at a public https address.

Running it twice is harmless for GET, HEAD, OPTIONS, PUT and DELETE, which mean the same once or twice (RFC 9110,
section 9.2.2), for what the model calls `idempotent`, and for services whose connection names an idempotency header.
Everything else is sent once: where an earlier run may have sent it, or nobody knows whether it was carried out, the
step becomes an incident with the code OUTCOME_UNKNOWN instead of being sent again.

All its outputs begin with `http_`, so that one step's `body` is not the next one's.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, Field

from tasks.adapters.http.request import HttpRequest, fields_of
from tasks.task import TaskContext, process_task

REVEALED = ("headers", "query", "body")
"""Inputs that may name secrets; an address may not, since it is shown to people."""


class HttpRequestInput(HttpRequest):
    """One request, and whom it is for."""

    connection: str | None = Field(None, description="a connection of the operator's; empty: url is asked")


class HttpRequestOutput(BaseModel):
    """The answer; the same travels with a BPMN error HTTP_<status>."""

    http_status: int
    http_reason: str
    http_headers: dict[str, str]
    http_body: Any
    http_url: str
    http_elapsed_ms: int
    http_redirects: int
    http_attempts: int


@process_task(topic="http_request")
def http_request(step: HttpRequestInput, context: TaskContext) -> HttpRequestOutput:
    """Send a request, and return the answer.

    Raises:
        BusinessError: HTTP_<status>, HOST_DENIED, RESPONSE_INVALID, RESPONSE_TOO_LARGE, TOO_MANY_REDIRECTS,
            INVALID_INPUT.
        TransientError: the service is not there now, and sending again does no harm.
        RateLimited: it asks for patience.
        PermanentError: OUTCOME_UNKNOWN, AUTH_FAILED, or the connection is wrong.
    """
    from tasks.adapters.calling import called, service_of  # here, since few workers ever ask
    from tasks.adapters.http.adapter import Http

    service = service_of(Http, step.connection, context) if step.connection else Http(blobs=context.blobs)
    request = {name: getattr(step, name) for name in step.model_fields_set - {"connection"}} | {
        "body": _as_object(step)
    }
    request |= {name: context.revealed(name, request[name]) for name in REVEALED if name in request}
    context.raise_if_cancelled()
    return HttpRequestOutput.model_validate(fields_of(called(service, "request", request, context)))


def _as_object(step: HttpRequestInput) -> Any:
    """Return the body, JSON text as what it means: a secret put into the text could change that."""
    if not isinstance(step.body, str) or step.body_as == "text":
        return step.body
    try:
        value = json.loads(step.body)
    except (ValueError, RecursionError):
        return step.body  # the adapter says what is wrong with it
    return value if isinstance(value, dict | list) else step.body
