"""Hands a message over (RFC 5321, 3.3), so that everybody knows whether it was: the heart of sending once.

A message is the server's from the moment it has the dot that ends it. Before that nothing was sent: whatever fails,
another try is harmless. After it, until the answer is read, nobody here knows: the server may have the message or not,
so that ends as OUTCOME_UNKNOWN and is never tried again by itself. A yes or no that arrives is an answer, of course.

Where sending the dot itself fails, the system has not taken all of it, and no server has seen it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from procos.domain.errors import BusinessError, TaskError
from tasks.adapters.calling import outcome_unknown
from tasks.adapters.email.opening import translated
from tasks.adapters.email.replies import TOO_LARGE, Reply, Stage, error_of, none_accepted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.adapters.email.composing import Letter
    from tasks.adapters.email.connection import EmailConnection
    from tasks.adapters.email.session import Session

PIECE = 64 * 1024
LINE_OF_A_DOT = re.compile(rb"\n\.")
GO_ON = 354
ACCEPTED = frozenset({250, 251, 252})
BUSY = 421


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """For whom the server has taken a message, and whom it refuses."""

    accepted: tuple[str, ...]
    refused: Mapping[str, Reply]


def handed_over(session: Session, letter: Letter, *, all_or_none: bool) -> Handed:
    """Hand a message over, once.

    Raises:
        TransientError: the server says later, or the connection broke before the message was whole; nothing was sent.
        BusinessError: RECIPIENTS_REFUSED, MESSAGE_REFUSED or MESSAGE_TOO_LARGE; nothing was sent.
        PermanentError: SENDER_REFUSED or AUTH_FAILED; or OUTCOME_UNKNOWN, where it may have been sent.
    """
    connection = session.connection
    _check_offers(session, letter)
    with translated(connection):
        _expect(session.asked("MAIL", _sender(session, letter)), Stage.SENDER, connection)
        handed = _announced(session, letter)
        if handed.refused and (all_or_none or not handed.accepted):
            raise none_accepted(handed.refused, connection.address)
        _expect(session.asked("DATA"), Stage.DATA, connection, code=GO_ON)
        for piece in stuffed(letter.content):
            session.send(piece)
    reply = _ended(session)
    if not reply.is_yes:
        raise error_of(Stage.DATA, reply, connection.address)
    return handed


def stuffed(content: IO[bytes]) -> Iterator[bytes]:
    """Read a message in pieces whose lines do not begin with a dot that could end it (RFC 5321, 4.5.2)."""
    last = b"\n"
    while piece := content.read(PIECE):
        doubled = LINE_OF_A_DOT.sub(b"\n..", piece)
        yield b"." + doubled if last == b"\n" and piece[:1] == b"." else doubled
        last = piece[-1:]


def _check_offers(session: Session, letter: Letter) -> None:
    server = session.connection.address
    if not letter.is_plain and not session.has_extn("smtputf8"):
        text = f"the mail server {server} takes addresses in ASCII only (it offers no SMTPUTF8)"
        raise BusinessError("ADDRESS_UNSUPPORTED", f"{text}; a domain can be written as xn--…; nothing was sent")
    size = session.esmtp_features.get("size", "")
    if size.isascii() and size.isdecimal() and 0 < int(size[:20]) < letter.size:
        raise BusinessError(TOO_LARGE, f"the mail server {server} takes at most {int(size[:20])} bytes")


def _sender(session: Session, letter: Letter) -> str:
    words = [f"FROM:<{letter.sender.address}>"]
    if session.has_extn("size"):
        words.append(f"SIZE={letter.size}")
    if not letter.is_plain:
        session.command_encoding = "utf-8"
        words += ["SMTPUTF8", *(["BODY=8BITMIME"] if session.has_extn("8bitmime") else [])]
    return " ".join(words)


def _announced(session: Session, letter: Letter) -> Handed:
    accepted, refused = [], {}
    for each in letter.recipients:
        reply = session.asked("RCPT", f"TO:<{each.address}>")
        if reply.code == BUSY or not (reply.is_yes or reply.is_no):
            raise error_of(Stage.RECIPIENTS, reply, session.connection.address)
        if reply.code in ACCEPTED:
            accepted.append(each.address)
        else:
            refused[each.address] = reply
    return Handed(accepted=tuple(accepted), refused=refused)


def _ended(session: Session) -> Reply:
    """End a message, and return the answer.

    Raises:
        TransientError: the end was not sent.
        PermanentError: OUTCOME_UNKNOWN, where there is no answer to it.
    """
    connection = session.connection
    try:
        with translated(connection):
            session.send(b".\r\n")  # what we compose ends with a whole line
        reply = session.answer(within=connection.accept_timeout)
    except TaskError:  # the dot was not sent; or the step was cancelled, and nobody waits for an outcome
        raise
    except Exception as error:  # whatever it was, such as a time limit, the server may have the message
        raise _unknown(connection) from error
    if reply.is_yes or reply.is_no:
        return reply
    raise _unknown(connection)


def _unknown(connection: EmailConnection) -> Exception:
    text = f"the mail server {connection.address} was given the whole message, and its answer did not arrive"
    return outcome_unknown(f"{text}: it may have been sent, or not")


def _expect(reply: Reply, stage: Stage, connection: EmailConnection, *, code: int | None = None) -> None:
    if not (reply.is_yes if code is None else reply.code == code):
        raise error_of(stage, reply, connection.address)
