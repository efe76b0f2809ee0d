"""What is in a File or Bytes variable: found where a step sees it, and read piece by piece.

A fetch brings of a File what it is called. Its content has an address by the variable's own id, and a variable of one
name may stand in several places of an instance: in branches, in sub-processes, in each round of a multi-instance. A
step sees the nearest, as the engine's fetch does: its own, then that of what is around it. Source: Camunda 7.24 REST
API, "Variable Instance" and "Get Activity Instance".
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from procos.domain.errors import EngineMisconfiguredError, EngineRejectedError
from procos.engine.paths import path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from procos.domain.external_task import ExternalTask
    from procos.engine.transport import Transport

GONE = 404


@contextmanager
def content_of(transport: Transport, task: ExternalTask, name: str) -> Iterator[Iterator[bytes]]:
    """Read what is in a variable, as a step sees it.

    Raises:
        EngineRejectedError: the variable is gone, with its instance as a rule.
    """
    where = path("variable-instance", _seen(transport, task, name), "data")
    try:
        with transport.download(where) as pieces:
            yield pieces
    except EngineMisconfiguredError as refusal:
        if refusal.status != GONE:
            raise
        raise _gone(name) from refusal


def _seen(transport: Transport, task: ExternalTask, name: str) -> str:
    question = {"processInstanceIdIn": [task.process_instance_id], "variableName": name}
    rows = transport.post("/variable-instance", question, params={"deserializeValues": "false"})
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("id") for row in rows):
        raise EngineMisconfiguredError("the engine's list of variables is none")
    own = [row for row in rows if row.get("executionId") == task.execution_id]
    if chosen := own or (rows if len(rows) == 1 else _nearest(transport, task, rows)):
        return str(chosen[0]["id"])
    raise _gone(name)


def _nearest(
    transport: Transport, task: ExternalTask, rows: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """Return the variables of the innermost of what is around a step."""
    if not rows:
        return ()
    tree = transport.get(path("process-instance", task.process_instance_id, "activity-instances"))
    for around in reversed(_way_to(tree, task.activity_instance_id)):
        found = [row for row in rows if row.get("activityInstanceId") == around]
        if found:
            return found
    return ()


def _way_to(node: Mapping[str, Any], wanted: str) -> list[str]:
    """Return the activity instances from the whole instance down to one, none where it is not there."""
    if node.get("id") == wanted:
        return [wanted]
    for child in node.get("childActivityInstances") or ():
        if way := _way_to(child, wanted):
            return [str(node["id"]), *way]
    return []


def _gone(name: str) -> EngineRejectedError:
    return EngineRejectedError(f"variable {name!r} is gone", status=GONE)
