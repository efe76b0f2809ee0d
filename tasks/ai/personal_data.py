"""The built-in redactor `patterns`: strikes out what has the form of personal data, each by a mark that names its kind.

It finds addresses of mail and of computers, telephone numbers, bank accounts (IBAN, with its checksum) and cards (with
theirs). It finds forms, not people: names and postal addresses stay, and so does what is written in another form. Where
a number could be either, rather too much is struck out than too little. Every pattern runs in time linear in the text.

`tasks.ai.redactors` is the caller.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Span(NamedTuple):
    """A piece of a text, and what it is."""

    start: int
    end: int
    kind: str


BLANK = r"[ \u00a0\u202f]"
BEGIN, END = r"(?<!\w)", r"(?!\w)"
EMAIL = re.compile(r"(?<![\w.%+'-])[\w.%+'-]++@[\w-]++(?:\.[\w-]++)++")
IBAN = re.compile(rf"{BEGIN}[A-Za-z]{{2}}\d{{2}}(?:(?:{BLANK}|-)?[A-Za-z0-9]){{11,30}}")
GROUPS = re.compile(rf"{BEGIN}\d++(?:(?:{BLANK}|[-.])\d++)*+")
GROUP = re.compile(r"\d+")
PHONE = re.compile(
    rf"(?<![\w+])(?:\+|00)[1-9](?:[ \u00a0()/.-]{{0,3}}\d){{6,14}}{END}"
    rf"|{BEGIN}\(?0[1-9]\d{{1,4}}\)?(?:{BLANK}|[/-]){{1,3}}\d{{2,8}}(?:(?:{BLANK}|-)\d{{1,5}}){{0,3}}{END}"
    rf"|{BEGIN}0[1-9]\d{{8,10}}{END}"
    rf"|{BEGIN}0[1-9](?:(?:{BLANK}|[.-])\d\d){{4}}{END}"
    rf"|(?<![\w(])\(?[2-9]\d{{2}}\)?[ \u00a0.-]{{1,2}}\d{{3}}[ .-]\d{{4}}{END}"
)
"""With a country code; with a leading zero, in groups, in one piece, in pairs; as in North America."""
LEAST_PHONE = 8
"""Digits a telephone number has at least; shorter ones could be anything."""
BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
IPV4 = re.compile(rf"(?<![\w.])(?:{BYTE}\.){{3}}{BYTE}(?!\.?\w)")
IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}+(?:\.\d{1,3}){0,3}(?![\w:])")

IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FK", "FO", "GL", "NL", "SD"), 18),  # codespell:ignore fo
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"), 20),
    **dict.fromkeys(("CH", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HN", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    **dict.fromkeys(("LC",), 32),
    **dict.fromkeys(("RU",), 33),
}
"""Characters of an account number, by country."""
SHORTEST_CARD, LONGEST_CARD = 13, 19
LEAST_GROUP = 3
"""Digits of a group in a card number that is written in groups."""
CARD_BEGINNINGS = frozenset("23456")
"""First digits of the cards that banks and shops issue."""


def without_personal_data(text: str) -> str:
    """Return the text with a mark in the place of each thing found: [EMAIL], [IBAN], [CARD], [PHONE] or [IP]."""
    pieces: list[str] = []
    at = 0
    for span in sorted(_found(text), key=lambda span: (span.start, -span.end)):
        if span.start < at:
            continue  # a part of what is struck out already
        pieces += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    return "".join([*pieces, text[at:]])


def _found(text: str) -> Iterator[Span]:
    yield from (Span(*match.span(), "EMAIL") for match in EMAIL.finditer(text))
    yield from _ibans(text)
    yield from _cards(text)
    yield from (Span(*match.span(), "PHONE") for match in PHONE.finditer(text) if _is_phone(match[0]))
    yield from (Span(*match.span(), "IP") for match in IPV4.finditer(text))
    yield from _ipv6(text)


def _ibans(text: str) -> Iterator[Span]:
    at = 0
    while match := IBAN.search(text, at):
        end = _end_of_account(text, match)
        if end:
            yield Span(match.start(), end, "IBAN")
        at = end or match.start() + 1


def _end_of_account(text: str, match: re.Match[str]) -> int:
    """Return where the account number ends that begins here, 0 if there is none; what follows may look like more."""
    length = IBAN_LENGTHS.get(match[0][:2].upper(), 0)
    account = ""
    for at in range(match.start(), match.end() if length else match.start()):
        account += text[at] if text[at].isalnum() else ""
        if len(account) == length:
            return at + 1 if _is_end(text, at + 1) and _has_iban_checksum(account.upper()) else 0
    return 0


def _has_iban_checksum(account: str) -> bool:
    turned = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _cards(text: str) -> Iterator[Span]:
    """Find card numbers in runs of groups of digits; other numbers may stand before and after them."""
    for run in GROUPS.finditer(text):
        groups = list(GROUP.finditer(text, run.start(), run.end()))
        for number, first in enumerate(groups):
            if first[0][0] in CARD_BEGINNINGS:
                yield from (Span(first.start(), end, "CARD") for end in _ends_of_card(text, groups, number))


def _ends_of_card(text: str, groups: Sequence[re.Match[str]], number: int) -> Iterator[int]:
    digits = ""
    for group in groups[number : number + LONGEST_CARD]:
        digits += group[0][: LONGEST_CARD + 1]
        if len(digits) > LONGEST_CARD or len(group[0]) < LEAST_GROUP:
            return
        if len(digits) >= SHORTEST_CARD and has_luhn_checksum(digits) and _is_end(text, group.end()):
            yield group.end()


def has_luhn_checksum(digits: str) -> bool:
    """Return whether the last of these digits is what the others demand."""
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    return (sum(map(int, digits[::-2])) + sum(each // 10 + each % 10 for each in doubled)) % 10 == 0


def _is_end(text: str, at: int) -> bool:
    return re.match(r"\w", text[at : at + 1]) is None


def _is_phone(text: str) -> bool:
    return sum(map(str.isdigit, text)) >= LEAST_PHONE


def _ipv6(text: str) -> Iterator[Span]:
    for match in IPV6.finditer(text):
        address = match[0]
        if address.endswith(":") and not address.endswith("::"):
            address = address[:-1]  # of the sentence
        # Names of programs such as a::b are no addresses.
        if any(map(str.isdigit, address)) and _is_ipv6(address):
            yield Span(match.start(), match.start() + len(address), "IP")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
