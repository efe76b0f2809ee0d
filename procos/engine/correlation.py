"""Sends a BPMN message to whoever waits for it: one instance, or the process it starts. The engine keeps none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procos.domain.errors import EngineError, MessageUntakenError, UsageError, VariableError
from procos.domain.external_task import ProcessInstanceId
from procos.engine.wire import variables_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.engine.transport import Transport

BAD_REQUEST, MISMATCH = 400, "Cannot correlate"


def correlate(
    transport: Transport,
    message: str,
    variables: Mapping[str, object],
    *,
    business_key: str | None = None,
    instance_id: ProcessInstanceId | None = None,
    keys: Mapping[str, object] | None = None,
    json_type: bool = True,
) -> ProcessInstanceId:
    """Send a message; returns the instance that took it, or was started by it.

    Raises:
        MessageUntakenError: nobody waits for it, or more than one does.
        UsageError: a variable cannot be carried.
    """
    try:
        body = {
            "messageName": message,
            "businessKey": business_key,
            "processInstanceId": instance_id,
            "correlationKeys": variables_to_json(keys or {}, json_type=json_type),
            "processVariables": variables_to_json(variables, json_type=json_type),
            "resultEnabled": True,
        }
        (taken,) = transport.post("/message", {name: value for name, value in body.items() if value is not None})
    except VariableError as error:
        raise UsageError(str(error)) from error
    except EngineError as refusal:  # whatever class its words make of it: the message's own name is among them
        if refusal.status != BAD_REQUEST or MISMATCH not in str(refusal):
            raise
        raise MessageUntakenError(message, _why(str(refusal))) from refusal
    return _receiver(taken)


def throw_signal(transport: Transport, name: str) -> None:
    """Throw a BPMN signal to whoever waits for it; nobody may."""
    transport.command("/signal", {"name": name})


def _receiver(taken: Mapping[str, Any]) -> ProcessInstanceId:
    if started := taken.get("processInstance"):
        return ProcessInstanceId(started["id"])
    return ProcessInstanceId(taken["execution"]["processInstanceId"])


def _why(text: str) -> str:
    """Say in short what the engine means: none waits, or several do."""
    return "several wait for it; name the instance" if "match the correlation" in text else "nobody waits for it"
