"""A task that calls a service with a password nobody shall see. The service is told the key of the step, so that a
second run of it opens no second ticket.
"""

import requests
from pydantic import BaseModel, Json, SecretStr

from procos.domain.errors import TransientError
from tasks.task import TaskContext, process_task


class Crm(BaseModel):
    """What the operator says of the CRM."""

    url: str
    token: SecretStr


class Ticket(BaseModel):
    """What to open, and where."""

    title: str
    connection: str = "crm"
    headers: Json[dict[str, str]] = {}


@process_task(topic="sample_ticket")
def open_ticket(ticket: Ticket, context: TaskContext) -> dict[str, object]:
    """Open a ticket, and return its number."""
    crm = context.connection(ticket.connection, Crm)
    headers = context.revealed("headers", ticket.headers)
    answer = requests.post(
        f"{crm.url}/tickets",
        json={"title": ticket.title},
        headers={
            **headers,
            "Authorization": f"Bearer {crm.token.get_secret_value()}",
            "Idempotency-Key": context.idempotency_key,
        },
        timeout=context.remaining().total_seconds(),
    )
    if not answer.ok:
        raise TransientError(f"the CRM answered {answer.status_code}: {answer.text[:500]}")
    return {"ticket": answer.json()["number"]}
