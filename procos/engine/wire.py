"""The JSON shapes of the external-task API; milliseconds and camelCase live here and nowhere else.

Source: Camunda 7.24 REST API, "External Task". Unknown fields of the engine's answers are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procos.domain.errors import EngineMisconfiguredError
from procos.domain.external_task import ExternalTask, ExternalTaskId, Lease, ProcessInstanceId, Topic
from procos.domain.variables import TypedValue, as_typed, parse_date

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from procos.engine.subscription import Filter, Subscription

LONGEST_MESSAGE = 666
"""The engine cuts errorMessage at this many characters; the whole text goes into errorDetails."""


def milliseconds(duration: timedelta) -> int:
    """Return a duration as the engine counts it."""
    return round(duration.total_seconds() * 1000)


def storable(text: str) -> str:
    """Return a message as every database stores it: without NUL, which PostgreSQL refuses, and half surrogate pairs."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def topic_to_json(subscription: Subscription) -> dict[str, object]:
    """Write one topic of a fetch; values are never deserialised, since one missing class would fail the whole fetch."""
    topic: dict[str, object] = {
        "topicName": subscription.topic,
        "lockDuration": milliseconds(subscription.lock_duration),
        "deserializeValues": False,
        "includeExtensionProperties": True,
    }
    if subscription.variables is not None:
        topic["variables"] = list(subscription.variables)
    return topic | filter_to_json(subscription.only)


def filter_to_json(only: Filter) -> dict[str, object]:
    """Write what a topic is restricted to; an empty list would match nothing, so it is left out."""
    fields: dict[str, object] = {
        "tenantIdIn": list(only.tenants),
        "processDefinitionKeyIn": list(only.process_keys),
        "businessKey": only.business_key,
    }
    return {name: value for name, value in fields.items() if value}


def variables_to_json(variables: Mapping[str, object], *, json_type: bool) -> dict[str, object]:
    """Write variables with their engine types.

    Raises:
        VariableError: for the first value no type can carry.
    """
    return typed_variables_to_json({name: as_typed(name, v, json_type=json_type) for name, v in variables.items()})


def typed_variables_to_json(variables: Mapping[str, TypedValue]) -> dict[str, object]:
    """Write variables that have their engine types."""
    return {name: typed_to_json(typed) for name, typed in variables.items()}


def typed_to_json(typed: TypedValue) -> dict[str, object]:
    """Write one typed value."""
    return {"type": typed.type, "value": typed.value, "valueInfo": dict(typed.value_info)}


def typed_from_json(source: Mapping[str, Any]) -> TypedValue:
    """Read one typed value."""
    return TypedValue(
        type=str(source.get("type") or "Null"), value=source.get("value"), value_info=source.get("valueInfo") or {}
    )


def external_tasks_from_json(rows: object) -> list[ExternalTask]:
    """Read a list of external tasks.

    Raises:
        EngineMisconfiguredError: it is none, or one of them lacks a field.
    """
    return [external_task_from_json(row) for row in _list(rows)]


def ids_from_json(rows: object) -> list[ExternalTaskId]:
    """Read the ids alone of a list of external tasks.

    Raises:
        EngineMisconfiguredError: it is none, or one of them has no id.
    """
    try:
        return [ExternalTaskId(str(row["id"])) for row in _list(rows)]
    except (KeyError, TypeError) as error:
        raise EngineMisconfiguredError(f"the engine's external task has no id: {error!r}") from error


def count_from_json(answer: object) -> int:
    """Read the answer of a count.

    Raises:
        EngineMisconfiguredError: it is none.
    """
    count = answer.get("count") if isinstance(answer, dict) else None
    if not isinstance(count, int):
        raise EngineMisconfiguredError(f"the engine's count is {type(answer).__name__}, expected a number")
    return count


def external_task_from_json(source: Mapping[str, Any]) -> ExternalTask:
    """Read one external task of a fetch, a list or a direct read.

    Raises:
        EngineMisconfiguredError: a field every Camunda 7 engine sends is missing.
    """
    try:
        return ExternalTask(
            id=ExternalTaskId(source["id"]),
            topic=Topic(source["topicName"]),
            process_instance_id=ProcessInstanceId(source["processInstanceId"]),
            process_definition_key=source.get("processDefinitionKey") or "",
            activity_id=source["activityId"],
            lease=_lease(source),
            retries=source.get("retries"),
            suspended=bool(source.get("suspended")),
            business_key=source.get("businessKey"),
            priority=source.get("priority") or 0,
            variables={name: typed_from_json(value) for name, value in (source.get("variables") or {}).items()},
            extension_properties=source.get("extensionProperties") or {},
            process_definition_id=source.get("processDefinitionId") or "",
            execution_id=source.get("executionId") or "",
            activity_instance_id=source.get("activityInstanceId") or "",
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise EngineMisconfiguredError(f"the engine's external task lacks a field: {error!r}") from error


def _list(rows: object) -> list[Any]:
    if not isinstance(rows, list):
        raise EngineMisconfiguredError(f"the engine's list of external tasks is {type(rows).__name__}, expected a list")
    return rows


def _lease(source: Mapping[str, Any]) -> Lease | None:
    holder, expires = source.get("workerId"), source.get("lockExpirationTime")
    if not holder or not expires:
        return None
    return Lease(holder=str(holder), expires=parse_date("lockExpirationTime", expires))
