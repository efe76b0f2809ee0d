"""Topic `service_call`: any operation of any adapter, built in or of a package of your own.

The result is one variable, since nobody knows its names beforehand. Whether an operation may run twice is its adapter's
to say: one that may not is not begun again where an earlier run may have done it, but ends as an incident
OUTCOME_UNKNOWN, for a person to look.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from procos.logs import get_logger
from tasks.adapters.calling import called, service
from tasks.adapters.fields import JsonObject  # noqa: TC001  # a field's type
from tasks.context import TaskContext  # noqa: TC001  # read when the task is registered
from tasks.secrets.connections import LONGEST_NAME
from tasks.task import process_task

log = get_logger(__name__)


class ServiceCallInput(BaseModel):
    """Do an operation of the service behind a connection."""

    model_config = ConfigDict(hide_input_in_errors=True, use_attribute_docstrings=True)

    connection: str = Field(max_length=LONGEST_NAME)
    """Name of the connection; its type says which adapter it is"""
    operation: str = Field(max_length=LONGEST_NAME)
    """Name of the operation"""
    parameters: JsonObject = {}
    """What the operation takes, as a JSON object; a constant may name secrets"""


class ServiceCallOutput(BaseModel):
    """What came of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    result: dict[str, Any]
    """What the operation gives, as a JSON object"""


@process_task(topic="service_call")
def service_call(step: ServiceCallInput, context: TaskContext) -> ServiceCallOutput:
    """Do an operation of a service.

    Raises:
        TaskError: as the adapter's operation does.
    """
    found = service(step.connection, context)
    parameters = context.revealed("parameters", step.parameters)
    chosen = found.operation_of(step.operation)
    context.raise_if_cancelled()
    log.info("service.called", connection=step.connection, operation=chosen.name)
    return ServiceCallOutput(result=dict(called(found, chosen.name, parameters, context)))
