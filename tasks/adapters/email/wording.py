"""Writes headers of a mail: in ASCII, folded, and with texts of other scripts encoded (RFC 2047, RFC 2231).

Nothing here goes through a parser of headers: what a user wrote is text, even where it looks encoded already, and
must arrive as the characters it is.
"""

from __future__ import annotations

import re
from email.header import Header
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.adapters.email.addresses import Mailbox

CRLF = "\r\n"
LONGEST_LINE = 76
LONGEST_PLAIN = 900
"""Characters of a text that stays on one line; RFC 5322 (2.1.1) has lines of 998."""
SEGMENT = 50
"""Characters of a piece of a file's name, so that its line stays short."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
ESCAPED = re.compile(r"%[0-9A-F]{2}|.")


def unstructured(name: str, value: str) -> str:
    """Write a header whose value is a text."""
    return f"{name}: {_encoded(value, room_taken=len(name) + 2)}{CRLF}"


def mailboxes(name: str, found: Iterable[Mailbox]) -> str:
    """Write a header of addresses, one on a line; empty where there are none."""
    written = f",{CRLF} ".join(map(_mailbox, found))
    return f"{name}: {written}{CRLF}" if written else ""


def file_name(name: str) -> str:
    """Write the parameter of a header that names a file, in pieces where it is long (RFC 2231)."""
    if re.fullmatch(r"[A-Za-z0-9._ -]{1,60}", name):
        return f'filename="{name}"'
    signs = ESCAPED.findall(quote(name, safe="-._~"))
    pieces, piece = [], "utf-8''"
    for sign in signs:
        if len(piece) + len(sign) > SEGMENT:
            pieces.append(piece)
            piece = ""
        piece += sign
    pieces.append(piece)
    if len(pieces) == 1:
        return f"filename*={piece}"
    return f";{CRLF} ".join(f"filename*{number}*={each}" for number, each in enumerate(pieces))


def _mailbox(found: Mailbox) -> str:
    if not found.name:
        return found.address
    if PLAIN_NAME.fullmatch(found.name) and "=?" not in found.name:
        return f"{found.name} <{found.address}>"
    if found.name.isascii() and "=?" not in found.name:
        escaped = found.name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{found.address}>'
    return f"{_encoded(found.name, room_taken=0)}{CRLF} <{found.address}>"


def _encoded(text: str, *, room_taken: int) -> str:
    longest_word = max(map(len, text.split(" ")))  # a word cannot be folded, but it can be encoded
    is_plain = text.isascii() and "=?" not in text and longest_word <= LONGEST_PLAIN
    if is_plain and len(text) <= LONGEST_PLAIN:  # folded, a long word would begin with a blank where it arrives
        return text
    header = Header(text, "us-ascii" if is_plain else "utf-8", maxlinelen=LONGEST_LINE, header_name="x" * room_taken)
    return header.encode(linesep=CRLF)
