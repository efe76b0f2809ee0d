"""Secrets are struck out in every form in which they usually travel, and nothing else is."""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus
from uuid import UUID

import pytest

from procos.domain.redaction import Redaction, encoded_forms

if TYPE_CHECKING:
    from collections.abc import Callable

ODD = 'p@ss w/ö"rd&=%'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQ\n-----END KEY-----"


@pytest.fixture
def redaction() -> Redaction:
    redaction = Redaction()
    redaction.add(ODD)
    return redaction


WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "quoted": lambda value: quote(value, safe=""),
    "quoted as a path": quote,
    "quoted as a form": quote_plus,
    "quoted in small letters": lambda value: quote_plus(value).replace("%C3%B6", "%c3%b6").replace("%2F", "%2f")
    .replace("%22", "%22").replace("%3D", "%3d"),
    "quoted in Latin-1": lambda value: quote(value.encode("latin-1")),
    "quoted as a whole address": lambda value: quote(value, safe="!#$&'()*+,/:;=?@[]~"),
    "json": lambda value: json.dumps(value)[1:-1],
    "json in utf-8": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json with escaped slashes": lambda value: json.dumps(value)[1:-1].replace("/", "\\/"),
    "json in json": lambda value: json.dumps(json.dumps(value)),
    "html": html.escape,
    "html without quotes": lambda value: html.escape(value, quote=False),
    "html with numbers": lambda value: html.escape(value).encode("ascii", "xmlcharrefreplace").decode(),
    "html in json": lambda value: json.dumps(html.escape(value)),
    "repr": repr,
    "repr of more": lambda value: repr(f"it's {value}"),
    "ascii": ascii,
    "repr of bytes": lambda value: repr(value.encode()),
    "base64": lambda value: b64encode(value.encode()).decode(),
    "base64 in Latin-1": lambda value: b64encode(value.encode("latin-1")).decode(),
    "base64 for addresses": lambda value: urlsafe_b64encode(value.encode()).decode(),
    "base64 without padding": lambda value: b64encode(value.encode()).decode().rstrip("="),
}  # fmt: skip


class TestRedaction:
    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
    def test_strikes_a_secret_out(self, redaction: Redaction, way: Callable[[str], str]) -> None:
        written = way(ODD)
        struck = redaction.strike(f"before {written} behind")
        assert "***" in struck
        assert struck.startswith("before ")
        assert struck.endswith(" behind")
        left = struck.removeprefix("before ").removesuffix(" behind").strip("\"'b\\")
        assert left in {"***", "it's ***", "it\\'s ***"}

    @pytest.mark.parametrize("before", ["", "u", "us", "use", "user:", "Bearer "])
    @pytest.mark.parametrize("behind", ["", "!", "!!", "!!!"])
    @pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
    def test_knows_it_in_the_middle_of_base64(self, before: str, behind: str, encode: Callable[[bytes], bytes]) -> None:
        redaction = Redaction()
        redaction.add("s3cret>?>?value")
        struck = redaction.strike(encode(f"{before}s3cret>?>?value{behind}".encode()).decode())
        assert "***" in struck
        # What is left is of what stood around it, and of a byte at each border.
        assert len(struck.replace("***", "")) <= (len(before) + len(behind)) * 4 / 3 + 6

    def test_leaves_nothing_of_a_secret_that_holds_another(self) -> None:
        redaction = Redaction()
        redaction.add("horse")
        redaction.add("horse battery staple")
        assert redaction.strike("horse battery staple, horse") == "***, ***"

    def test_leaves_everything_else_alone(self, redaction: Redaction) -> None:
        text = "p@ss word & more %"
        assert redaction.strike(text) == text

    @pytest.mark.parametrize("value", ["", "a", "abc"])
    def test_ignores_what_is_too_short(self, value: str) -> None:
        redaction = Redaction()
        redaction.add(value)
        assert not redaction
        assert redaction.strike("abcabc") == "abcabc"

    def test_strikes_out_the_lines_of_a_key(self) -> None:
        redaction = Redaction()
        redaction.add(KEY)
        assert redaction.strike("bad line: EFAASCBKcwggSjAgEAAoIBAQ") == "bad line: ***"
        assert redaction.strike(json.dumps({"key": KEY})) == '{"key": "***"}'

    def test_forgets_the_oldest_first(self) -> None:
        redaction, endless = Redaction(most=2), Redaction()
        for number in range(3):
            redaction.add(f"secret-{number}")
            endless.add(f"secret-{number}")
        assert redaction.strike("secret-0 secret-1 secret-2") == "secret-0 *** ***"
        assert endless.strike("secret-0 secret-1 secret-2") == "*** *** ***"

    def test_has_few_forms_of_a_plain_one(self) -> None:
        assert len(encoded_forms("abcdefghij0123456789")) < 10

    def test_takes_a_text_that_is_no_unicode(self) -> None:
        assert "half\ud83d" in encoded_forms("half\ud83d")


class TestStrikeIn:
    def test_goes_through_lists_and_mappings_and_keys(self, redaction: Redaction) -> None:
        value = {"a": [1, None, ODD, (ODD, True)], ODD: {"b": quote(ODD, safe="")}, "c": 2.5}
        assert redaction.strike_in(value) == {"a": [1, None, "***", ["***", True]], "***": {"b": "***"}, "c": 2.5}

    def test_keeps_both_of_two_keys_that_become_one(self, redaction: Redaction) -> None:
        assert redaction.strike_in({ODD: 1, "***": 2, f"{ODD}{ODD}": 3}) == {"***": 1, "****": 2, "******": 3}

    @pytest.mark.parametrize(
        ("secret", "value"),
        [
            ("123456", 123456),
            ("12.5000", Decimal("12.5000")),
            ("9b2f9e0c-63ef-11ee-8c99-0242ac120002", UUID("9b2f9e0c-63ef-11ee-8c99-0242ac120002")),
        ],
    )
    def test_strikes_out_a_number_that_is_one(self, secret: str, value: object) -> None:
        redaction = Redaction()
        redaction.add(secret)
        assert redaction.strike_in([value, 7]) == ["***", 7]
