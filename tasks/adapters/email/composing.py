"""Makes the message of a mail (RFC 5322, RFC 2045), in a file of its own that goes to disk where it is large.

Attachments are read from the blob store in pieces, and all of them before a server is spoken to: a store that is slow
or a blob that is damaged costs no half-sent mail. The headers are ours; the bodies are written by the standard library.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import IO, TYPE_CHECKING

from procos.blobs.reference import OCTETS, TEXT, BlobReference, safe_name
from procos.domain.errors import BusinessError
from tasks.adapters.adapter import INVALID_INPUT
from tasks.adapters.email import wording
from tasks.adapters.email.addresses import Mailbox, mailbox_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tasks.adapters.email.connection import EmailConnection
    from tasks.adapters.email.mail import Attachment, Mail
    from tasks.blobs import StepBlobs

TOO_LARGE = "MESSAGE_TOO_LARGE"
IN_MEMORY = 1024 * 1024
"""Bytes of a message that are kept in memory; the rest goes to a file."""
LINE = 57
"""Bytes that make a line of 76 characters in base64."""
PIECE = LINE * 1024
POLICY = SMTP.clone(cte_type="7bit")
"""So that a server need not offer 8BITMIME."""
KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message, written out, and whom it is handed over for."""

    sender: Mailbox
    recipients: Sequence[Mailbox]
    message_id: str
    content: IO[bytes]
    size: int

    @property
    def is_plain(self) -> bool:
        """Whether every server takes its addresses."""
        return all(each.is_plain for each in (self.sender, *self.recipients))


def checked_against(mail: Mail, connection: EmailConnection) -> tuple[Mailbox, list[Mailbox]]:
    """Return whom a mail is from and for, each once, if the connection allows it.

    Raises:
        BusinessError: INVALID_INPUT, where it breaks a limit of the connection.
    """
    sender = mailbox_of(mail.sender) if mail.sender else connection.own
    found = {each.address: each for text in (*mail.to, *mail.cc, *mail.bcc) if (each := mailbox_of(text))}
    attached = mail.attached()
    problems = [
        (not connection.may_send_as(sender), "sender: the connection allows others only"),
        (len(found) > connection.most_recipients, f"to, cc, bcc: more than {connection.most_recipients} recipients"),
        (len(attached) > connection.most_attachments, f"attachments: more than {connection.most_attachments}"),
        (not all(map(connection.may_send_to, found.values())), "to, cc, bcc: the connection allows others only"),
    ]
    if wrong := [text for is_wrong, text in problems if is_wrong]:
        raise BusinessError(INVALID_INPUT, "; ".join(wrong))
    size = sum(each.content.size for each in attached if isinstance(each.content, BlobReference))
    check_size(size * 78 // LINE, connection)  # before any of it is read
    return sender, list(found.values())


def check_size(size: int, connection: EmailConnection) -> None:
    """Refuse a message that is too large.

    Raises:
        BusinessError: MESSAGE_TOO_LARGE.
    """
    if size > connection.largest_message:
        text = f"it would have more than {connection.largest_message} bytes, which largest_message of the connection"
        raise BusinessError(TOO_LARGE, f"{text} allows; attachments grow by a third when they are sent")


@contextmanager
def composed(
    mail: Mail, connection: EmailConnection, *, key: str, now: datetime, blobs: StepBlobs | None
) -> Iterator[Letter]:
    """Write a mail out, and throw it away in the end.

    Raises:
        BusinessError: INVALID_INPUT or MESSAGE_TOO_LARGE, by the limits of the connection.
        PermanentError: an attachment is missing in the store, or damaged.
        BlobsUnreachableError: the store does not answer.
    """
    sender, recipients = checked_against(mail, connection)
    message_id = message_id_of(key, sender)
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        for piece in _pieces(mail, sender, message_id, now, blobs):
            file.write(piece)
            check_size(file.tell(), connection)
        size = file.tell()
        file.seek(0)
        yield Letter(sender=sender, recipients=recipients, message_id=message_id, content=file, size=size)


def message_id_of(key: str, sender: Mailbox) -> str:
    """Return the Message-ID of what a step sends: the same for each try, so that doubles can be told."""
    local = key if KEY.fullmatch(key) else hashlib.sha256(key.encode(errors="replace")).hexdigest()
    domain = sender.domain if sender.domain.isascii() else hashlib.sha256(sender.domain.encode()).hexdigest()[:32]
    return f"<{local}.procos@{domain}>"


def _pieces(mail: Mail, sender: Mailbox, message_id: str, now: datetime, blobs: StepBlobs | None) -> Iterator[bytes]:
    yield _headers(mail, sender, message_id, now).encode()
    body = _body(mail).as_bytes()
    attached = mail.attached()
    if not attached:
        yield body
        return
    boundary = f"=_procos_{secrets.token_hex(16)}"
    yield f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'.encode()
    yield body
    for number, each in enumerate(attached, start=1):
        yield f"\r\n--{boundary}\r\n{_part_headers(each, number)}\r\n".encode()
        yield from _base64(each, blobs)
    yield f"\r\n--{boundary}--\r\n".encode()


def _headers(mail: Mail, sender: Mailbox, message_id: str, now: datetime) -> str:
    return "".join(
        [
            wording.mailboxes("From", [sender]),
            wording.mailboxes("To", map(mailbox_of, mail.to)),
            wording.mailboxes("Cc", map(mailbox_of, mail.cc)),
            wording.mailboxes("Reply-To", map(mailbox_of, mail.reply_to)),
            wording.unstructured("Subject", mail.subject),
            f"Date: {format_datetime(now)}\r\n",
            f"Message-ID: {message_id}\r\n",
            *(wording.unstructured(name, value) for name, value in mail.headers.items()),
            "MIME-Version: 1.0\r\n",
        ]
    )


def _body(mail: Mail) -> EmailMessage:
    """Write text, HTML or both, without the headers of a whole message."""
    body = EmailMessage(policy=POLICY)
    if mail.text:
        body.set_content(mail.text)
    if mail.text and mail.html:
        body.add_alternative(mail.html, subtype="html")
    elif mail.html:
        body.set_content(mail.html, subtype="html")
    for part in body.walk():
        del part["MIME-Version"]
    return body


def _part_headers(attachment: Attachment, number: int) -> str:
    kind = attachment.media_type or (
        attachment.content.media_type if isinstance(attachment.content, BlobReference) else TEXT
    )
    if kind.lower().startswith(("message/", "multipart/")):  # which may not be in base64 (RFC 2046, 5.2.1)
        kind = OCTETS
    name = attachment.name or _name_of(attachment, kind, number)
    written = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n"
    return f"{written}Content-Disposition: attachment;\r\n {wording.file_name(name)}\r\n"


def _name_of(attachment: Attachment, kind: str, number: int) -> str:
    given = attachment.content.name if isinstance(attachment.content, BlobReference) else None
    extension = mimetypes.guess_extension(kind.partition(";")[0].strip()) or ""
    return safe_name(given) or f"attachment-{number}{extension}"


def _base64(attachment: Attachment, blobs: StepBlobs | None) -> Iterator[bytes]:
    if isinstance(attachment.content, str):
        yield base64.encodebytes(attachment.content.encode()).replace(b"\n", b"\r\n")
        return
    if blobs is None:
        raise BusinessError(INVALID_INPUT, "attachments: there is no store of files to read them from here")
    with blobs.open(attachment.content) as stream:
        while piece := stream.read(PIECE):  # a buffered stream gives less at its end alone
            yield base64.encodebytes(piece).replace(b"\n", b"\r\n")
