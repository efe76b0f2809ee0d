"""Topic `request_routing`: decides which process a user's request is for, and whether it may be run with that input.

The kinds of requests are those of `procos.request_kinds`, an allow-list made of files: nothing a user writes becomes
part of a path or the key of a process. What the request brings is checked against the schema of the process, so that
nothing wrong is started. Running it twice is harmless: it only looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from procos.domain.errors import BusinessError, ModelError, PermanentError, UnknownRequestError
from procos.logs import get_logger
from procos.request_kinds import input_of, kind_named, request_kinds, schema_of
from tasks.generic.input_validation import document_of
from tasks.generic.json_schema import message_of, problems
from tasks.task import TaskContext, process_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.request_kinds import RequestKind

log = get_logger(__name__)


def _name(kind: object) -> object:
    """What is no text is no kind, and refused as such; another BPMN error for it would help nobody."""
    return kind if isinstance(kind, str) else ""


class RequestRoutingInput(BaseModel):
    """The kind of a request, and, as extra fields, all that it brings."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    request_kind: Annotated[str, BeforeValidator(_name)] = ""


class RequestRoutingOutput(BaseModel):
    """The key of the process that serves the request."""

    process_to_execute: str


@process_task(topic="request_routing")
def request_routing(request: RequestRoutingInput, context: TaskContext) -> RequestRoutingOutput:
    """Find the process for a request, and check what it brings.

    Raises:
        BusinessError: UNKNOWN_REQUEST, with the kinds there are; INVALID_REQUEST, with every field that is wrong.
        PermanentError: the schema of the process cannot be read.
    """
    return routed(request, request_kinds(context.settings))


def routed(request: RequestRoutingInput, kinds: Mapping[str, RequestKind]) -> RequestRoutingOutput:
    """Decide by these kinds."""
    try:
        kind = kind_named(request.request_kind, kinds)
        schema = schema_of(kind)
    except UnknownRequestError as error:
        raise BusinessError("UNKNOWN_REQUEST", str(error)) from error
    except ModelError as error:
        raise PermanentError(str(error), code="SCHEMA_INVALID") from error
    found = problems(schema, document_of(input_of(request.model_extra or {}, schema)))
    if found:
        log.info("request.refused", process=kind.key, variables=sorted({problem.place for problem in found}))
        raise BusinessError("INVALID_REQUEST", message_of(found))
    log.info("request.routed", process=kind.key)
    return RequestRoutingOutput(process_to_execute=kind.key)
