"""The adapter `email`: sends a mail by the operator's server, once."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import ClassVar

from procos.domain.errors import TaskError
from procos.logs import get_logger
from tasks.adapters.adapter import Adapter, Call, Health, operation
from tasks.adapters.email.composing import composed
from tasks.adapters.email.connection import EmailConnection
from tasks.adapters.email.mail import Mail, Sent
from tasks.adapters.email.opening import opened, say_goodbye
from tasks.adapters.email.replies import Stage, error_of
from tasks.adapters.email.transaction import handed_over

HEALTH_SECONDS = 10.0
MARGIN = 3.0
"""Seconds at the end of a step that are kept for telling what came of it, and for the goodbye: a time limit that struck
after the server's yes would make a second try of it."""

log = get_logger(__name__)


class Email(Adapter):
    """A mail server, spoken to by SMTP; every mail has a session of its own."""

    name: ClassVar[str] = "email"
    connection: ClassVar[type[EmailConnection]] = EmailConnection

    _connection: EmailConnection

    @operation()
    def send_email(self, mail: Mail, call: Call) -> Sent:
        """Send a mail.

        Raises:
            TransientError: the server is not there, or says later; nothing was sent.
            BusinessError: INVALID_INPUT, RECIPIENTS_REFUSED, MESSAGE_REFUSED, MESSAGE_TOO_LARGE or ADDRESS_UNSUPPORTED.
            PermanentError: AUTH_FAILED, TLS_FAILED, SENDER_REFUSED or SERVER_REFUSED; OUTCOME_UNKNOWN, where it may
                have been sent.
        """
        deadline = call.deadline - MARGIN
        with (
            composed(
                mail, self._connection, key=call.idempotency_key, now=datetime.now(UTC), blobs=self._blobs
            ) as letter,
            opened(self._connection, deadline=deadline) as session,
        ):
            handed = handed_over(session, letter, all_or_none=mail.all_or_none)
            log.info("email.sent", bytes=letter.size, accepted=len(handed.accepted), refused=len(handed.refused))
            say_goodbye(session)
        return Sent(
            message_id=letter.message_id,
            accepted=list(handed.accepted),
            refused={address: reply.words for address, reply in handed.refused.items()},
        )

    def health_check(self) -> Health:
        """Connect, sign in, and leave; sends nothing."""
        began = time.monotonic()
        try:
            with opened(self._connection, deadline=began + HEALTH_SECONDS) as session:
                reply = session.asked("NOOP")
                if not reply.is_yes:
                    raise error_of(Stage.PROBE, reply, self._connection.address)
                say_goodbye(session)
        except TaskError as error:
            return Health(is_well=False, detail=str(error), seconds=time.monotonic() - began)
        how = {"none": "in clear"}.get(self._connection.security, "over TLS")
        who = "" if self._connection.user is None else f", signed in as {self._connection.user}"
        return Health(is_well=True, detail=f"{self._connection.address} {how}{who}", seconds=time.monotonic() - began)
