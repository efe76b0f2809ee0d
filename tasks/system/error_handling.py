"""Topic `error_handling`: says what kind of error a process has met, what to do about it, and records it.

The rule is that of `tasks.system.error_classes`. The record goes to the process, and without the message, which may
quote what it likes, to the log. Where the model wants so, an error that needs a person stands as an incident at this
very step. Running it twice is harmless: it records the same once more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from procos.domain.errors import PermanentError
from procos.logs import get_logger
from procos.routes import routes
from tasks.context import TaskContext  # noqa: TC001  # process_task reads the hints
from tasks.system.error_classes import ErrorAction, action_for, class_of
from tasks.task import process_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.external_task import Topic
    from procos.routes import Route

OPERATORS = "operators"
"""The audience that is told of what is wrong with the system."""
LONGEST_MESSAGE = 1000
LONGEST_WORD = 100

log = get_logger(__name__)


class ErrorHandlingInput(BaseModel):
    """The error, as a boundary event or a check has left it."""

    error_source: str = Field(description="where it came from: a step, a process, or system")
    error_code: str = ""
    error_message: str = ""
    error_attempt: int = Field(0, ge=0, description="how often it was retried")
    raise_incident: bool = Field(False, description="whether an error that needs a person becomes an incident here")


class ErrorHandlingOutput(BaseModel):
    """What the error is, and what to do about it."""

    error_class: str
    error_action: str
    error_record: dict[str, str] = Field(description="class, code, source, message, at")
    notify: bool = Field(description="whether somebody can be told: there is an audience operators")


@process_task(topic="error_handling")
def error_handling(error: ErrorHandlingInput, context: TaskContext) -> ErrorHandlingOutput:
    """Classify an error and record it.

    Raises:
        PermanentError: it needs a person, and the model wants an incident for that.
    """
    somebody = bool(context.settings.notification.audiences.get(OPERATORS))
    return handled(error, routes(), notify=somebody, now=datetime.now(UTC))


def handled(
    error: ErrorHandlingInput, table: Mapping[Topic, Route], *, notify: bool, now: datetime
) -> ErrorHandlingOutput:
    """Decide by these routes."""
    business = {code for route in table.values() for code in route.errors}
    error_class = class_of(error.error_code, source=error.error_source, business=business)
    action = action_for(error_class, attempt=error.error_attempt)
    code, source = error.error_code[:LONGEST_WORD], error.error_source[:LONGEST_WORD]
    log.warning("error.recorded", error_class=error_class, action=action, code=code, source=source)
    if action is ErrorAction.INCIDENT and error.raise_incident:
        text = f"{source}: {_cut(error.error_message) or 'no message'}; set raise_incident to false to let it go on"
        raise PermanentError(text, code=code or str(error_class).upper())
    return ErrorHandlingOutput(
        error_class=error_class.value,
        error_action=action.value,
        error_record={
            "class": error_class.value,
            "code": code,
            "source": source,
            "message": _cut(error.error_message),
            "at": now.isoformat(timespec="seconds"),
        },
        notify=notify,
    )


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"
