"""Opens a session with a mail server, encrypted and signed in, and says what went wrong where there is none.

What is to be encrypted is encrypted or not spoken at all: a server that offers no STARTTLS, or somebody in between who
has struck it out, gets no mail and no password.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError, TransientError
from tasks.adapters.email.replies import Reply, Stage, error_of
from tasks.adapters.email.session import Session
from tasks.adapters.email.signing_in import signed_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.adapters.email.connection import EmailConnection

GOODBYE_SECONDS = 2.0
TLS_FAILED = "TLS_FAILED"


@contextmanager
def opened(connection: EmailConnection, *, deadline: float) -> Iterator[Session]:
    """Hand out a session that is encrypted and signed in as the connection says.

    Raises:
        TransientError: the server is not there, or says so.
        PermanentError: TLS_FAILED, AUTH_FAILED, or SERVER_REFUSED.
    """
    session = Session(connection, deadline=deadline)
    try:
        with translated(connection):
            _introduce(session)
            signed_in(session)
        yield session
    finally:
        session.close()


def say_goodbye(session: Session) -> None:
    """End a session as one should; how the server takes it does not matter."""
    session.deadline = min(session.deadline, time.monotonic() + GOODBYE_SECONDS)
    with suppress(OSError, smtplib.SMTPException):
        session.docmd("QUIT")


@contextmanager
def translated(connection: EmailConnection) -> Iterator[None]:
    """Turn what smtplib and sockets raise into errors of ours; only for what is said before a message is whole.

    Raises:
        TransientError: the connection was not made, or broke.
        PermanentError: TLS_FAILED, where the certificate is not to be trusted, or CONNECTION_INVALID.
    """
    server = connection.address
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        text = f"the certificate of the mail server {server} is not trusted: {error.verify_message}"
        raise PermanentError(f"{text}; look at host and ca_file of the connection", code=TLS_FAILED) from None
    except ssl.SSLError as error:
        text = f"TLS with the mail server {server} fails ({error.reason}); look at port and security of the connection"
        raise TransientError(text, code="UNREACHABLE") from None
    except (OSError, smtplib.SMTPException) as error:
        text = f"the connection to the mail server {server} was not made, or broke: {_reason(error)}"
        raise TransientError(f"{text}; nothing was sent", code="UNREACHABLE") from None


def _introduce(session: Session) -> None:
    server = session.connection.address
    _expect(session.reach(), Stage.GREETING, server)
    _expect(Reply.of(session.ehlo()), Stage.HELLO, server)
    if session.connection.security != "starttls":
        return
    if not session.has_extn("starttls"):
        text = f"the mail server {server} offers no STARTTLS, or somebody in between has taken it out; nothing was sent"
        raise PermanentError(text, code=TLS_FAILED)
    _expect(session.asked("STARTTLS"), Stage.STARTTLS, server)
    session.encrypt()
    _expect(Reply.of(session.ehlo()), Stage.HELLO, server)


def _expect(reply: Reply, stage: Stage, server: str) -> None:
    if not reply.is_yes:
        raise error_of(stage, reply, server)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return {"SMTPServerDisconnected": "it was closed, or an answer took too long"}.get(
        type(error).__name__, "timed out" if isinstance(error, TimeoutError) else type(error).__name__
    )
