"""What a no of a mail server means (RFC 5321, 4.2; RFC 3463): who must do what, and when to come again.

A reply of 4xx is a no for now, and one of 5xx for good. The server's own words are not repeated in errors, since they
quote addresses; its numbers are, with what they stand for. What is in `refused` of a result are its words, cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from procos.domain.errors import BusinessError, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.errors import TaskError

TOO_LARGE = "MESSAGE_TOO_LARGE"
AUTH_FAILED = "AUTH_FAILED"
GREYLISTED = timedelta(minutes=5)
"""How long a server that asks to come later is left alone: most lists forget nobody before that (RFC 6647, 5)."""
CLOSING = timedelta(minutes=1)
ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)", re.ASCII)
LONGEST_WORDS = 200
NEEDS_SIGNING_IN = 530
WORDS: Mapping[str, str] = {
    "1.1": "no such mailbox", "1.2": "no such domain", "1.3": "not an address", "1.8": "the sender's domain is unknown",
    "2.1": "the mailbox is closed", "2.2": "the mailbox is full", "2.3": "too large for the mailbox",
    "3.4": "too large", "4.1": "the host does not answer", "5.3": "too many recipients",
    "6.7": "addresses of other scripts are not taken", "7.0": "against the server's policy",
    "7.1": "not permitted", "7.3": "no way to sign in", "7.8": "user or password is wrong",
    "7.9": "the way of signing in is too weak", "7.26": "SPF and DKIM of the sender's domain fail",
    "7.57": "nobody is signed in", "7.60": "not permitted to write in this sender's name",
    "7.139": "signing in by password is switched off",
}  # fmt: skip
"""Subject and detail of enhanced codes, in few words."""


class Stage(StrEnum):
    """How far a session has come; each a part of an error's sentence."""

    GREETING = "refuses the connection"
    HELLO = "refuses the greeting"
    STARTTLS = "refuses STARTTLS"
    AUTH = "refuses to sign us in"
    SENDER = "refuses the sender"
    RECIPIENTS = "refuses every recipient"
    DATA = "refuses the message"
    PROBE = "refuses NOOP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server has answered."""

    code: int
    text: str

    @classmethod
    def of(cls, answer: tuple[int, bytes]) -> Reply:
        """Read what smtplib returns."""
        return cls(code=answer[0], text=answer[1].decode("utf-8", "replace"))

    @property
    def is_yes(self) -> bool:
        """Whether it is a plain yes."""
        return 200 <= self.code < 300  # noqa: PLR2004  # as the RFC has it

    @property
    def is_no_for_now(self) -> bool:
        """Whether it may be a yes later."""
        return 400 <= self.code < 500  # noqa: PLR2004

    @property
    def is_no(self) -> bool:
        """Whether it is a no, for now or for good; else it is nothing that belongs here."""
        return 400 <= self.code < 600  # noqa: PLR2004

    @property
    def numbers(self) -> str:
        """Its code, its enhanced code, and what that means."""
        found = ENHANCED.match(self.text)
        if found is None:
            return str(self.code)
        words = WORDS.get(found[0].partition(".")[2])
        return f"{self.code} {found[0]}" + (f" ({words})" if words else "")

    @property
    def words(self) -> str:
        """All it says, on one line, cut."""
        line = " ".join("".join(each if each.isprintable() else " " for each in self.text).split())
        return f"{self.code} {line}".strip()[:LONGEST_WORDS]

    @property
    def says_too_large(self) -> bool:
        """Whether it is about the size of the message."""
        found = ENHANCED.match(self.text)
        return found[0].endswith((".3.4", ".2.3")) if found else self.code == 552  # noqa: PLR2004


def error_of(stage: Stage, reply: Reply, server: str) -> TaskError:
    """Return the error that a no means; nothing was sent, whichever it is."""
    text = f"the mail server {server} {stage}: {reply.numbers}"
    if not reply.is_no:
        return TransientError(f"the mail server {server} gives no answer of SMTP; look at host, port and security")
    if reply.is_no_for_now:
        wait = CLOSING if reply.code == 421 else GREYLISTED  # noqa: PLR2004  # service not available, closing
        return TransientError(text, code="SMTP_LATER", retry_in=wait)
    if stage is Stage.AUTH or reply.code == NEEDS_SIGNING_IN:
        return PermanentError(f"{text}; look at user and password or token of the connection", code=AUTH_FAILED)
    if stage is Stage.SENDER and not reply.says_too_large:
        cure = "look at sender of the connection, and whom its user may write as"
        return PermanentError(f"{text}; {cure}", code="SENDER_REFUSED")
    if stage is Stage.STARTTLS:
        return PermanentError(f"{text}; security `tls` may be what it speaks", code="TLS_FAILED")
    if stage in {Stage.GREETING, Stage.HELLO, Stage.PROBE}:
        return PermanentError(text, code="SERVER_REFUSED")
    return BusinessError(TOO_LARGE if reply.says_too_large else "MESSAGE_REFUSED", text)


def none_accepted(refused: Mapping[str, Reply], server: str) -> TaskError:
    """Return the error for a mail whose recipients were refused; one that may be taken later decides."""
    later = next((reply for reply in refused.values() if reply.is_no_for_now or not reply.is_no), None)
    if later is not None:
        return error_of(Stage.RECIPIENTS, later, server)
    needs = next((reply for reply in refused.values() if reply.code == NEEDS_SIGNING_IN), None)
    if needs is not None:
        return error_of(Stage.RECIPIENTS, needs, server)
    numbers = "; ".join(sorted({reply.numbers for reply in refused.values()})[:5])
    words = {address: reply.words for address, reply in refused.items()}
    text = f"the mail server {server} refuses {len(refused)} of the recipients: {numbers}; nothing was sent"
    return BusinessError("RECIPIENTS_REFUSED", text, variables={"accepted": [], "refused": words})
