"""Topic `email_send`: sends a mail by a connection of the operator's, once.

Running it twice would send it twice, and no server refuses doubles. So a run whose forerunner was cut off sends
nothing, and one whose last answer was lost says so: both end in an incident OUTCOME_UNKNOWN, for a person to look.
Whatever fails before the message is whole at the server is tried again. Each try of a step has the same Message-ID,
by which a person, and many a mail program, can tell a double.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.adapters.calling import called, service_of
from tasks.adapters.email.adapter import Email
from tasks.adapters.email.mail import Mail, Sent
from tasks.context import TaskContext  # noqa: TC001  # process_task reads the hints
from tasks.task import process_task


class EmailSendInput(Mail):
    """A mail, and by which connection it goes."""

    connection: Annotated[str, Field(max_length=100, description="the operator's name of the mail server")] = "email"


@process_task(topic="email_send")
def email_send(mail: EmailSendInput, context: TaskContext) -> Sent:
    """Send a mail.

    Raises:
        BusinessError: INVALID_INPUT, RECIPIENTS_REFUSED, MESSAGE_REFUSED, MESSAGE_TOO_LARGE or ADDRESS_UNSUPPORTED.
        TransientError: nothing was sent, and another try may pass.
        PermanentError: an operator must act; OUTCOME_UNKNOWN, where it may have been sent.
    """
    server = service_of(Email, mail.connection, context)
    context.raise_if_cancelled()
    parameters = mail.model_dump(mode="json", exclude={"connection"}, exclude_unset=True)
    return Sent.model_validate(called(server, "send_email", parameters, context))
