"""A session with a mail server: reached, encrypted and greeted; bounded in time and in what it may answer.

smtplib speaks the protocol. It bounds each read and not a reply, so that a server could go on for ever, a byte or a
line at a time; here a reply has a time and a size. And what is to be encrypted is encrypted or not spoken at all: a
server that offers no STARTTLS, or somebody in between who has struck it out, gets no mail and no password.
"""

from __future__ import annotations

import io
import smtplib
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError, TransientError
from tasks.adapters.email.replies import Reply, Stage, error_of
from tasks.adapters.email.signing_in import signed_in
from tasks.adapters.reaching import authorities, reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import ReadableBuffer, WriteableBuffer

    from tasks.adapters.email.connection import EmailConnection

LARGEST_REPLY = 64 * 1024
"""Bytes; RFC 5321 (4.5.3.1.5) has lines of 512, and EHLO answers with a dozen of them."""
GOODBYE_SECONDS = 2.0
TLS_FAILED = "TLS_FAILED"


class Session(smtplib.SMTP):
    """smtplib's client, with a deadline."""

    def __init__(self, connection: EmailConnection, *, deadline: float) -> None:
        super().__init__(local_hostname=connection.helo_name or "localhost")
        self.connection, self.deadline = connection, deadline
        self._patience, self._reply_ends, self._reply_room = connection.reply_timeout, deadline, LARGEST_REPLY

    def reach(self) -> Reply:
        """Connect, and return what the server says first."""
        wanted = self.connection
        self.sock = reached(wanted.host, wanted.port_or_default, until=self._within(wanted.connect_timeout))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if wanted.helo_name is None:
            self.local_hostname = _literal(self.sock)
        if wanted.security == "tls":
            self.encrypt()
        return Reply.of(self.getreply())

    def encrypt(self) -> None:
        """Go on over TLS, with a certificate that is looked at; what was said before is forgotten."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("closed")
        context = authorities(self.connection.ca_file)
        self.sock.settimeout(self.left(self._within(self.connection.connect_timeout)))
        self.sock = context.wrap_socket(self.sock, server_hostname=self.connection.host)
        self.file = None  # whatever came in clear behind the answer to STARTTLS is dropped with it
        self.ehlo_resp, self.esmtp_features, self.does_esmtp = None, {}, False

    def asked(self, command: str, arguments: str = "") -> Reply:
        """Say something, and return the answer."""
        return Reply.of(self.docmd(command, arguments))

    def answer(self, *, within: float) -> Reply:
        """Wait for an answer longer than for others."""
        self._patience = within
        try:
            return Reply.of(self.getreply())
        finally:
            self._patience = self.connection.reply_timeout

    def getreply(self) -> tuple[int, bytes]:
        """Read an answer, within its time and size."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Incoming(self.sock, self._room))
        self._reply_ends, self._reply_room = self._within(self._patience), LARGEST_REPLY
        return super().getreply()

    def send(self, s: ReadableBuffer | str) -> None:
        """Send, within the time an answer may take."""
        if self.sock is not None:
            self.sock.settimeout(self.left(self._within(self.connection.reply_timeout)))
        super().send(s)

    def left(self, moment: float) -> float:
        """Return the seconds until a moment.

        Raises:
            TimeoutError: it has passed.
        """
        seconds = moment - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds

    def _within(self, seconds: float) -> float:
        return min(self.deadline, time.monotonic() + seconds)

    def _room(self, taken: int) -> float:
        """Count what came, and say how long to wait for more."""
        self._reply_room -= taken
        if self._reply_room < 0:
            raise OSError(f"an answer has more than {LARGEST_REPLY} bytes")
        return self.left(self._reply_ends)


class _Incoming(io.RawIOBase):
    """What a server says, read as long as there is time and room for it."""

    def __init__(self, sock: socket.socket, room: Callable[[int], float]) -> None:
        super().__init__()
        self._sock, self._room = sock, room

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._sock.settimeout(self._room(0))
        count = self._sock.recv_into(buffer)
        self._room(count)
        return count


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


def _literal(sock: socket.socket) -> str:
    """Return this host's address as it stands for a name (RFC 5321, 4.1.3)."""
    address = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return {"SMTPServerDisconnected": "it was closed, or an answer took too long"}.get(
        type(error).__name__, "timed out" if isinstance(error, TimeoutError) else type(error).__name__
    )
