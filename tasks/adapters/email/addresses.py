"""Addresses of mail: read from what people write, and refused where two readers could take them for different ones.

What is taken is the plain form, `name@example.org` or `Name <name@example.org>`: dots and the characters of RFC 5322's
atoms before the @, a host name behind it, and letters of any script in both (RFC 6531). Quoted local parts, comments,
groups and address literals are valid too, and nobody has them; parsers differ over them, so they are refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LONGEST_ADDRESS, LONGEST_LOCAL, LONGEST_LABEL = 254, 64, 63
"""Octets (RFC 5321, 4.5.3.1, with erratum 1690; RFC 1035, 2.3.4)."""
LONGEST_NAME = 200
ATOM = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~")
NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")
BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that end a line somewhere, or are none: controls, halves of pairs, U+2028 and U+2029."""
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of writing, by which `exe.txt` can be shown as something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """Whom a mail is from, or for."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        """What is behind the @."""
        return self.address.rpartition("@")[2]

    @property
    def is_plain(self) -> bool:
        """Whether every server takes it; others must offer SMTPUTF8."""
        return self.address.isascii()


def is_breaking(text: str) -> bool:
    """Whether a text has a character that may end a line, in whatever program."""
    return any(unicodedata.category(each) in BREAKING for each in text)


def mailbox_of(text: str) -> Mailbox:
    """Read one address, with or without a name.

    Raises:
        ValueError: it is none; says why, without repeating it.
    """
    if is_breaking(text):
        raise ValueError("has a line break or another control character")
    given = text.strip()
    named = NAMED.fullmatch(given)
    address = (named["address"] if named else given).strip()
    name = _unquoted(named["name"].strip()) if named else ""
    if len(name) > LONGEST_NAME or TURNING & set(name):
        raise ValueError(f"has a name of more than {LONGEST_NAME} characters, or one that turns the writing around")
    _check(address)
    return Mailbox(address=address, name=name)


def checked(texts: list[str]) -> Iterator[Mailbox]:
    """Read each of several addresses.

    Raises:
        ValueError: one of them is none; says which, by its place.
    """
    for number, text in enumerate(texts, start=1):
        try:
            yield mailbox_of(text)
        except ValueError as error:
            raise ValueError(f"address {number} {error}") from None


def split(text: str) -> list[str]:
    """Take a list of addresses apart at its commas, those in quotes and angle brackets left alone."""
    cuts, is_quoted, is_escaped, is_angled = [-1], False, False, False
    for place, each in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_quoted:
            is_escaped, is_quoted = each == "\\", each != '"'
        elif each in '"<>':
            is_quoted, is_angled = each == '"', each == "<" or (is_angled and each == '"')
        elif each == "," and not is_angled:
            cuts.append(place)
    parts = (text[start + 1 : end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True))
    return [part.strip() for part in parts if part.strip()]


def is_among(mailbox: Mailbox, allowed: Collection[str]) -> bool:
    """Whether an address is in a list of addresses and of domains, such as `@example.org`."""
    address = mailbox.address.lower()
    return any(address == each.lower() or f"@{mailbox.domain.lower()}" == each.lower() for each in allowed)


def _unquoted(name: str) -> str:
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    if '"' in name:
        raise ValueError("has a quote in its name that is not closed")
    return name


def _check(address: str) -> None:
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise ValueError("is no address such as name@example.org")
    if len(address.encode()) > LONGEST_ADDRESS or len(local.encode()) > LONGEST_LOCAL:
        raise ValueError(f"is longer than {LONGEST_ADDRESS} octets, or {LONGEST_LOCAL} before the @")
    if not all(_is_atom(part) for part in local.split(".")):
        raise ValueError("has a character before the @ that is not taken, or a dot too many")
    if not all(_is_label(part) for part in domain.split(".")):
        raise ValueError("has no host name behind the @")


def _is_atom(part: str) -> bool:
    return bool(part) and all(each in ATOM or _is_letter_of_other_scripts(each) for each in part)


def _is_label(part: str) -> bool:
    fits = 0 < len(part.encode()) <= LONGEST_LABEL and part[0] != "-" and part[-1] != "-"
    return fits and all(each == "-" or _is_alphanumeric(each) for each in part)


def _is_alphanumeric(each: str) -> bool:
    return (each.isascii() and each.isalnum()) or _is_letter_of_other_scripts(each)


def _is_letter_of_other_scripts(each: str) -> bool:
    return not each.isascii() and unicodedata.category(each)[0] in "LMN"
