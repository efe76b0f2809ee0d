"""Signs in at a mail server: by password (PLAIN or LOGIN) or by an access token (XOAUTH2).

smtplib's own way takes ASCII only, and tries one mechanism after the other, which locks accounts. Here it is one
attempt. Over a connection in clear nothing is sent at all; that the connection's model sees to.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError, TransientError
from tasks.adapters.email.replies import AUTH_FAILED, Reply, Stage, error_of
from tasks.adapters.email.tokens import access_token, forget

if TYPE_CHECKING:
    from tasks.adapters.email.connection import EmailConnection
    from tasks.adapters.email.session import Session

GO_ON = 334
IN = 235


def signed_in(session: Session) -> None:
    """Sign in, if the connection says as whom.

    Raises:
        PermanentError: AUTH_FAILED: the server refuses, or offers no way we know.
        TransientError: it, or who issues tokens, says later.
    """
    connection = session.connection
    if connection.user is None:
        return
    if connection.has_token:
        _by_token(session, connection, connection.user)
    else:
        _check(_by_password(session, connection, connection.user), connection)


def _by_token(session: Session, connection: EmailConnection, user: str) -> None:
    _check_offered(session, {"XOAUTH2"}, connection)
    token = access_token(connection, deadline=session.deadline)
    reply = session.asked("AUTH", "XOAUTH2 " + _coded(f"user={user}\x01auth=Bearer {token.text}\x01\x01"))
    if reply.code == GO_ON:  # the details of a no come as a challenge, whose answer is empty; then comes the no itself
        reply = session.asked("")
    if reply.code != IN:
        forget(connection)
    if token.was_kept and reply.is_no:
        text = f"the mail server {connection.address} refuses an access token that was kept; another try gets a new one"
        raise TransientError(text, code="SMTP_LATER", retry_in=timedelta(0))
    _check(reply, connection)


def _by_password(session: Session, connection: EmailConnection, user: str) -> Reply:
    offered = _check_offered(session, {"PLAIN", "LOGIN"}, connection)
    password = connection.password.get_secret_value() if connection.password else ""
    if "PLAIN" in offered:
        return session.asked("AUTH", "PLAIN " + _coded(f"\0{user}\0{password}"))
    reply = session.asked("AUTH", f"LOGIN {_coded(user)}")
    return session.asked(_coded(password)) if reply.code == GO_ON else reply


def _check(reply: Reply, connection: EmailConnection) -> None:
    if reply.code != IN:
        raise error_of(Stage.AUTH, reply, connection.address)


def _check_offered(session: Session, known: set[str], connection: EmailConnection) -> set[str]:
    offered = set(session.esmtp_features.get("auth", "").upper().split())
    if not offered & known:
        ours = " or ".join(sorted(known))
        text = f"the mail server {connection.address} offers no {ours} for signing in"
        raise PermanentError(f"{text}; look at host, port and security of the connection", code=AUTH_FAILED)
    return offered


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
