"""What an operator says of a mail server: where it is, how it is spoken to, who signs in, and what may be sent."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path  # noqa: TC003  # pydantic reads it
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from tasks.adapters.adapter import Connection
from tasks.adapters.email.addresses import Mailbox, is_among, mailbox_of

PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""Submission (RFC 6409), implicit TLS (RFC 8314), relay (RFC 5321)."""
HOST = r"^[A-Za-z0-9_](?:[A-Za-z0-9_.:-]{0,252}[A-Za-z0-9_.])?$|^::[A-Fa-f0-9:.]+$"
HELO = r"^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[A-Za-z0-9.:]{2,60}\])$"


def _mailbox(text: str) -> str:
    try:
        mailbox_of(text)
    except ValueError as error:
        raise PydanticCustomError("address", "{reason}", {"reason": str(error)}) from None
    return text


def _listed(value: object) -> object:
    """Take a list from an environment variable too: JSON, or texts between commas."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [each.strip() for each in value.split(",")]


Addresses = Annotated[tuple[Annotated[str, Field(pattern=r"^[^\s@]*@[^\s@]+$")], ...], BeforeValidator(_listed)]


class EmailConnection(Connection):
    """A mail server, its limits, and who may be written to in whose name."""

    host: str = Field(validation_alias=AliasChoices("host", "smtp_server"), pattern=HOST)
    """Its name, which its certificate must bear. The guide's `smtp_server` is the same."""
    port: int | None = Field(None, validation_alias=AliasChoices("port", "smtp_port"), ge=1, le=65535)
    """By default 587 for `starttls`, 465 for `tls`, 25 for `none`. The guide's `smtp_port` is the same."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; what is not `none` is never given up, whatever the server offers."""
    ca_file: Path | None = None
    """Certificates (PEM) that are trusted in place of the system's."""

    user: str | None = Field(None, min_length=1, max_length=320)
    password: SecretStr | None = None
    access_token: SecretStr | None = None
    """A token for XOAUTH2 that somebody else keeps fresh, as in a mounted file."""
    token_url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    """Where tokens for XOAUTH2 are had, by `client_id`, `client_secret`, `scope` and perhaps `refresh_token`."""
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    scope: str | None = None

    sender: Annotated[str, AfterValidator(_mailbox)]
    """Whom mail is from where a step does not say: `shop@example.org` or `Shop <shop@example.org>`."""
    allowed_senders: Addresses = ()
    """Who else a step may write as: addresses, or domains such as `@example.org`."""
    allowed_recipients: Addresses = ()
    """Whom a step may write to, in the same form; empty means anybody."""

    helo_name: str | None = Field(None, pattern=HELO)
    """What this host calls itself; by default its address, as RFC 5321 (4.1.4) has it."""
    connect_timeout: float = Field(10.0, gt=0, le=120)
    """Seconds until there is a connection, TLS included."""
    reply_timeout: float = Field(60.0, gt=0, le=600)
    """Seconds an answer may take."""
    accept_timeout: float = Field(300.0, gt=0, le=1800)
    """Seconds the answer to a whole message may take, in which servers look for viruses; RFC 5321 allows 600."""
    largest_message: int = Field(25_000_000, ge=1024, le=150_000_000)
    """Bytes of a message as it is sent, where attachments are a third larger than they are; Gmail takes 25 MB."""
    most_recipients: int = Field(100, ge=1, le=1000)
    """Of to, cc and bcc together; RFC 5321 (4.5.3.1.8) lets any server refuse more than 100."""
    most_attachments: int = Field(20, ge=0, le=200)

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"{self.host}:{self.port_or_default}"

    @property
    def port_or_default(self) -> int:
        """The port that was given, or that of its security."""
        return self.port or PORTS[self.security]

    @property
    def own(self) -> Mailbox:
        """Whom mail is from where a step does not say."""
        return mailbox_of(self.sender)

    @property
    def has_token(self) -> bool:
        """Whether it signs in by XOAUTH2."""
        return self.access_token is not None or self.token_url is not None

    def may_send_as(self, mailbox: Mailbox) -> bool:
        """Whether a step may write as somebody."""
        return is_among(mailbox, (self.own.address, *self.allowed_senders))

    def may_send_to(self, mailbox: Mailbox) -> bool:
        """Whether a step may write to somebody."""
        return not self.allowed_recipients or is_among(mailbox, self.allowed_recipients)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        signs_in = self.password is not None or self.has_token
        if signs_in and self.user is None:
            raise _wrong("a password or token needs a user")
        if self.user is not None and not signs_in:
            raise _wrong("a user needs a password, an access_token, or a token_url with client_id and client_secret")
        if sum((self.password is not None, self.access_token is not None, self.token_url is not None)) > 1:
            raise _wrong("give one of password, access_token and token_url")
        if self.token_url is not None and (self.client_id is None or not (self.client_secret or self.refresh_token)):
            raise _wrong("a token_url needs client_id, and client_secret or refresh_token")
        if self.token_url is not None and not _is_safe(self.token_url):
            raise _wrong("a token_url begins with https://, unless it is on this host")
        if signs_in and self.security == "none" and not is_loopback(self.host):
            raise _wrong("a password or token is never sent in clear: security must be starttls or tls")
        return self


def is_loopback(host: str) -> bool:
    """Whether a host is this one, so that nobody listens in between."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_safe(url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        return url.startswith("https://") or is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _wrong(reason: str) -> PydanticCustomError:
    return PydanticCustomError("connection", "{reason}", {"reason": reason})
