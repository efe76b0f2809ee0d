"""What a step wants sent, and what came of it: the models of `send_email`.

Each text that becomes part of a header is looked at here, before anything is written or opened: it ends no line, and
names no header that others write. What a list or mapping can be, a text may be too: JSON, or addresses between commas.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from procos.blobs.reference import LONGEST as LONGEST_FILE_NAME
from procos.blobs.reference import MEDIA_TYPE, BlobReference, is_reference
from tasks.adapters.email.addresses import TURNING, checked, is_breaking, split

LONGEST_SUBJECT = 500
"""Characters; RFC 5322 (2.1.1) bounds lines, and mail programs show less than 100."""
LONGEST_TEXT = 10_000_000
"""Characters of each body; `largest_message` of the connection bounds them together."""
MOST_LISTED = 1000
"""Addresses in one list, and attachments, that are looked at at all; the connection's limits are lower."""
LONGEST_HEADER = 2000
MOST_HEADERS = 30
HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,74}")
"""Less than RFC 5322 (3.6.8) allows, and all that is in use."""
OURS = frozenset(
    {
        "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "mime-version",
        "return-path", "received", "received-spf", "delivered-to", "apparently-to", "authentication-results",
    }
)  # fmt: skip
"""Headers that are made of other fields, or that servers write; so are all that begin like one of `OF_SERVERS`."""
OF_SERVERS = ("content-", "resent-", "dkim-", "arc-", "domainkey-", "x-envelope-")


def _json(value: object) -> object:
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except RecursionError:
            raise ValueError("is nested too deep") from None
    return value


def _addresses(value: object) -> object:
    found = _json(value)
    return split(found) if isinstance(found, str) else found


def _checked(texts: list[str]) -> list[str]:
    list(checked(texts))
    return texts


def _line(text: str) -> str:
    if is_breaking(text):
        raise ValueError("has a line break or another control character")
    return text


def _body(text: str) -> str:
    if "\0" in text or not _is_encodable(text):
        raise ValueError("contains U+0000 or half a surrogate pair")
    return text


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _file_name(name: str) -> str:
    if is_breaking(name) or TURNING & set(name):
        raise ValueError("has a control character, or one that turns the writing around")
    if not name.strip(" .") or {"/", "\\"} & set(name):
        raise ValueError("is no name of a file, or one with a folder")
    return name


def _media_type(text: str) -> str:
    if not MEDIA_TYPE.fullmatch(text):
        raise ValueError("is no media type such as application/pdf")
    return text


def _listed(value: object) -> object:
    found = _json(value)
    return [found] if isinstance(found, dict) else found


def _attached(value: object) -> object:
    """A reference alone is an attachment with the name it has."""
    return {"content": value} if is_reference(value) or isinstance(value, BlobReference) else value


def _headers(given: dict[str, str]) -> dict[str, str]:
    for number, (name, value) in enumerate(given.items(), start=1):
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"the name of header {number} is none: letters, digits and - are")
        if name.lower() in OURS or name.lower().startswith(OF_SERVERS):
            raise ValueError(f"header {name} is made of other fields, or by servers")
        if is_breaking(value) or len(value) > LONGEST_HEADER:
            raise ValueError(f"header {name} has a control character, or more than {LONGEST_HEADER} characters")
    if len({name.lower() for name in given}) != len(given):
        raise ValueError("a header is there twice")
    return given


Line = Annotated[str, AfterValidator(_line)]
Addresses = Annotated[
    list[Annotated[str, Field(max_length=1000)]],
    Field(max_length=MOST_LISTED),
    BeforeValidator(_addresses),
    AfterValidator(_checked),
]
Body = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_body)]


class Attachment(BaseModel):
    """A file that goes with a mail: a text, or what is in the blob store."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    content: BlobReference | Body
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_FILE_NAME), AfterValidator(_file_name)] | None = None
    """By default the name the blob has, or `attachment-1`."""
    media_type: Annotated[str, Field(max_length=LONGEST_FILE_NAME), AfterValidator(_media_type)] | None = None
    """By default that of the blob, or `text/plain`."""


Attachments = Annotated[
    list[Annotated[Attachment | BlobReference, BeforeValidator(_attached)]],
    Field(max_length=MOST_LISTED),
    BeforeValidator(_listed),
]


class Mail(BaseModel):
    """A mail to send."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    to: Addresses = Field([], description="addresses, as a list or between commas")
    cc: Addresses = []
    bcc: Addresses = Field([], description="who gets it without being named in it")
    reply_to: Addresses = []
    sender: Annotated[Line, Field(max_length=1000)] | None = Field(None, description="one the connection allows")
    subject: Annotated[Line, Field(max_length=LONGEST_SUBJECT)] = ""
    text: Body | None = None
    html: Body | None = None
    attachments: Attachments = Field([], description="files: references to blobs, or {name, content, media_type}")
    headers: Annotated[
        dict[str, str], Field(max_length=MOST_HEADERS), BeforeValidator(_json), AfterValidator(_headers)
    ] = Field({}, description="more headers, by name")
    all_or_none: bool = Field(default=False, description="send only if the server takes every recipient")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not (self.to or self.cc or self.bcc):
            raise ValueError("to, cc or bcc: a recipient is missing")
        if not (self.text or self.html):
            raise ValueError("text or html: a body is missing")
        if self.sender is not None:
            list(checked([self.sender]))
        return self

    def attached(self) -> list[Attachment]:
        """Return the attachments, each in its long form."""
        return [each if isinstance(each, Attachment) else Attachment(content=each) for each in self.attachments]


class Sent(BaseModel):
    """A mail that a server has taken."""

    message_id: str
    """Its Message-ID; the same for every try of one step."""
    accepted: list[str]
    """The addresses the server has taken it for."""
    refused: dict[str, str]
    """The addresses it has not, and its words."""
