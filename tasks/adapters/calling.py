"""Calls services for a step: connection and adapter by name, and no second try of what may have been done."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from procos.domain.errors import PermanentError
from tasks.adapters.adapter import Adapter, validated
from tasks.adapters.known import INVALID, adapter_of
from tasks.deeds import CURE, OUTCOME_UNKNOWN
from tasks.secrets.connections import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.context import TaskContext

Kind = TypeVar("Kind", bound=Adapter)


def service(name: str, context: TaskContext) -> Adapter:
    """Return the service a connection leads to.

    Raises:
        PermanentError: there is no such connection, or it is incomplete or wrong.
        TransientError: a folder of connections or secrets does not answer now.
    """
    kind = adapter_of(name, fields_of(name, context.settings).get("type"))
    return kind(context.connection(name, kind.connection), blobs=context.blobs)


def service_of(kind: type[Kind], name: str, context: TaskContext) -> Kind:
    """Return the service a connection leads to, where it is of this kind.

    Raises:
        PermanentError: as `service`; also CONNECTION_INVALID, where it is of another kind.
    """
    found = service(name, context)
    if isinstance(found, kind):
        return found
    text = f"connection {name!r} is of type {type(found).name!r}; topic {context.topic} needs one of type {kind.name!r}"
    raise PermanentError(text, code=INVALID)


def called(
    service: Adapter, operation: str, parameters: Mapping[str, object], context: TaskContext
) -> Mapping[str, object]:
    """Do one operation for a step; see `Adapter.call_service`.

    Raises:
        PermanentError: OUTCOME_UNKNOWN, where an earlier run of the step may have done what must not be done twice.
    """
    chosen = service.operation_of(operation)
    deed = f"{service.name}.{operation}"
    is_repeatable = service.is_repeatable(chosen, validated(chosen, parameters))
    check_not_done_before(context, deed, is_repeatable=is_repeatable)
    with nullcontext() if is_repeatable else context.deeds.doing(deed):
        return service.call_service(
            operation, parameters, deadline=context.deadline, idempotency_key=context.idempotency_key
        )


def check_not_done_before(context: TaskContext, deed: str, *, is_repeatable: bool) -> None:
    """Refuse what an earlier run of the step may have done already, and that must not be done twice.

    Raises:
        PermanentError: OUTCOME_UNKNOWN; whoever looks at the incident can find out, and retry.
    """
    if context.started_before and not is_repeatable:
        raise outcome_unknown(f"{deed}: an earlier run of this step was cut off, and may have done it")


def outcome_unknown(text: str) -> PermanentError:
    """Say that something may have been done or not, and that a person should look before it is tried again."""
    return PermanentError(f"{text}; {CURE}", code=OUTCOME_UNKNOWN)
