"""A session with a mail server, bounded in time and in what it may answer.

smtplib speaks the protocol. It bounds each read and not a reply, so that a server could go on for ever, a byte or a
line at a time; here a reply has a time and a size. `opening` has who hands one out.
"""

from __future__ import annotations

import io
import smtplib
import socket
import time
from typing import TYPE_CHECKING

from tasks.adapters.email.replies import Reply
from tasks.adapters.reaching import authorities, reached

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer, WriteableBuffer

    from tasks.adapters.email.connection import EmailConnection

LARGEST_REPLY = 64 * 1024
"""Bytes; RFC 5321 (4.5.3.1.5) has lines of 512, and EHLO answers with a dozen of them."""


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


def _literal(sock: socket.socket) -> str:
    """Return this host's address as it stands for a name (RFC 5321, 4.1.3)."""
    address = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
