"""Turns a fetched external task into the dispatch that travels, or says why it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.dispatch import Dispatch, DispatchRef
from procos.domain.errors import ModelError, VariableError
from procos.domain.mapping import OutputMapping
from procos.domain.message_size import too_large, travelling_size
from procos.domain.retry import RETRY_CONFIG, policy_from_model
from procos.domain.variables import LARGEST_TOGETHER, check_size, from_engine, is_carried

if TYPE_CHECKING:
    from procos.domain.external_task import ExternalTask, Lease
    from procos.routes import Route

CURE = "PROCOS_BLOBS_URL names a store for what tasks return and for files, and references to it are small"


def dispatch_of(task: ExternalTask, route: Route, *, largest: int = LARGEST_TOGETHER) -> Dispatch:
    """Turn a fetched external task into its dispatch, with variables of at most `largest` bytes.

    Raises:
        VariableError: a variable the route names cannot be carried, one does not hold what its type says, or there
            is too much of them.
        ModelError: what the model says of retries cannot be read, or an expression of it is too long to travel.
    """
    if task.lease is None:
        raise VariableError("lockExpirationTime", "missing in a fetched external task")
    wanted = {name: typed for name, typed in task.variables.items() if route.variables is not None or is_carried(typed)}
    check_size(wanted, largest=largest, cure=CURE)
    _check_retries(task)
    return Dispatch(
        ref=reference_of(task, task.lease),
        variables={name: from_engine(name, typed) for name, typed in wanted.items()},
        business_key=task.business_key,
        mapping=_mapping(task),
    )


def reference_of(task: ExternalTask, lease: Lease) -> DispatchRef:
    """Name the dispatch of an external task under this lease, whatever its variables are."""
    return DispatchRef(
        external_task_id=task.id,
        token=lease.token,
        holder=lease.holder,
        topic=task.topic,
        process_instance_id=task.process_instance_id,
        activity_id=task.activity_id,
        retries=task.retries,
        retry_config=task.extension_properties.get(RETRY_CONFIG),
    )


def untaken(dispatch: Dispatch) -> VariableError:
    """Return the error for a dispatch that the broker has refused by itself: for its size, which is all it judges."""
    sizes = {name: travelling_size(value) for name, value in dispatch.variables.items()} or {"none": 0}
    limit = "more than this broker takes in one message (RabbitMQ's max_message_size)"
    return too_large(sizes, "bytes as it travels", limit, CURE)


def _check_retries(task: ExternalTask) -> None:
    text = task.extension_properties.get(RETRY_CONFIG)
    if text is not None:
        try:
            policy_from_model(text)
        except ValueError as error:
            raise ModelError(
                task.process_definition_key, f"{RETRY_CONFIG} {error}", element=task.activity_id
            ) from error


def _mapping(task: ExternalTask) -> OutputMapping | None:
    try:
        return OutputMapping.from_properties(task.extension_properties)
    except ValueError as error:
        raise ModelError(task.process_definition_key, str(error), element=task.activity_id) from error
