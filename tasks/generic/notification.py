"""Topic `notification`: tells an audience something, by whatever services the operator has chosen for it.

The model says who is to know, and what; PROCOS_NOTIFICATION_AUDIENCES says by which connections. Whoever was reached
was reached: the step then ends well, and says who was not. Only where nobody was is it tried again, or fails.

A run that was cut off may have told some of them, so running it twice is refused: the step becomes an incident instead.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.adapters.calling import check_not_done_before
from tasks.adapters.fields import STORABLE, JsonObject
from tasks.context import TaskContext  # noqa: TC001  # process_task reads the hints
from tasks.generic.notifying import Notification, audience_of, raise_for_nobody, told
from tasks.task import process_task

LONGEST_TITLE = 200
LONGEST_MESSAGE = 20_000
MOST_DETAILS = 50


class NotificationInput(BaseModel):
    """Who is to know, and what."""

    model_config = ConfigDict(hide_input_in_errors=True)

    audience: Annotated[str, Field(max_length=100)] = "default"
    title: Annotated[str, Field(min_length=1, max_length=LONGEST_TITLE, pattern=r"\S"), STORABLE]
    message: Annotated[str, Field(max_length=LONGEST_MESSAGE), STORABLE] = ""
    severity: Literal["info", "warning", "error"] = "info"
    details: Annotated[JsonObject, Field(max_length=MOST_DETAILS, description="facts, by name")] = {}


class NotNotified(BaseModel):
    """A connection that did not take the notification, and why."""

    connection: str
    reason: str


class NotificationOutput(BaseModel):
    """Who was told, by the names of the connections."""

    notified: list[str]
    not_notified: list[NotNotified]


@process_task(topic="notification")
def notification(said: NotificationInput, context: TaskContext) -> NotificationOutput:
    """Tell an audience something.

    Raises:
        BusinessError: NOT_NOTIFIED, where every service has refused it.
        TransientError: nobody was told, and another try may pass.
        PermanentError: AUDIENCE_UNKNOWN; or OUTCOME_UNKNOWN, where somebody may have been told, or nobody.
    """
    targets = audience_of(said.audience, context.settings)
    check_not_done_before(context, "notification", is_repeatable=False)
    attempts = told(targets, Notification(**said.model_dump(exclude={"audience"})), context)
    if not any(attempt.error is None for attempt in attempts):
        raise_for_nobody(attempts)
    return NotificationOutput(
        notified=[attempt.connection for attempt in attempts if attempt.error is None],
        not_notified=[
            NotNotified(connection=attempt.connection, reason=str(attempt.error))
            for attempt in attempts
            if attempt.error is not None
        ],
    )
