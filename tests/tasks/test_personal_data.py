"""What the redactor `patterns` strikes out, and what it leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ai.personal_data import IBAN_LENGTHS, has_luhn_checksum, without_personal_data

WORDS = st.sampled_from(["", "Pay with ", "(", "number:", "\n", "due 12.03.2026: ", "[", "a,b;", "\u00a0"])
AFTER = st.sampled_from(["", " today", ").", ", and 12 more", "\nThanks", "]", " EUR 15", ";"])
LOCALS = st.from_regex(r"[a-z0-9]([a-z0-9._+-]{0,20}[a-z0-9])?", fullmatch=True)
DOMAINS = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,6}){1,2}", fullmatch=True)


@st.composite
def cards(draw: st.DrawFn) -> str:
    """Return a card number in groups of four, whose last digit is what the others demand."""
    digits = draw(st.sampled_from("23456")) + draw(st.text("0123456789", min_size=14, max_size=14))
    digits += next(last for last in "0123456789" if has_luhn_checksum(digits + last))
    separator = draw(st.sampled_from(["", " ", "-", "\u00a0"]))
    return separator.join(digits[at : at + 4] for at in range(0, 16, 4))


@st.composite
def ibans(draw: st.DrawFn) -> str:
    """Return an account number of a German form with the checksum ISO 7064 demands."""
    account = draw(st.text("0123456789", min_size=18, max_size=18))
    check = 98 - int(account + "131400") % 97
    iban = f"DE{check:02}{account}"
    separator = draw(st.sampled_from(["", " ", "-"]))
    return separator.join(iban[at : at + 4] for at in range(0, len(iban), 4))


class TestWithoutPersonalData:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Write to ann.o'neil+x@mail.example.org.", "Write to [EMAIL]."),
            ("mailto:jürgen@müller.de, or <A_B@c-d.co>", "mailto:[EMAIL], or <[EMAIL]>"),
            ("IBAN DE89 3704 0044 0532 0130 00 EUR", "IBAN [IBAN] EUR"),
            ("gb82west12345698765432", "[IBAN]"),
            ("NO93 8601 1117 947 and MT84MALT011000012345MTLCAST001S", "[IBAN] and [IBAN]"),
            ("card 4111 1111 1111 1111, exp 12/27", "card [CARD], exp 12/27"),
            ("378282246310005 / 3782 822463 10005", "[CARD] / [CARD]"),
            ("order 12 4111-1111-1111-1111 2nd", "order 12 [CARD] 2nd"),
            ("+49 (0)30 1234-567", "[PHONE]"),
            ("0041 44 668 18 00 or +33.1.23.45.67.89", "[PHONE] or [PHONE]"),
            ("(030) 901820, 0171/1234567, 01711234567", "[PHONE], [PHONE], [PHONE]"),
            ("01 23 45 67 89", "[PHONE]"),
            ("(212) 555-0123, 212-555-0123", "[PHONE], [PHONE]"),
            ("from 192.168.0.1: refused", "from [IP]: refused"),
            ("at 10.0.0.255. Then", "at [IP]. Then"),
            ("[2001:db8::8a2e:370:7334]:443 and 2001:db8::1: yes", "[[IP]]:443 and [IP]: yes"),
            ("::ffff:192.168.0.1", "[IP]"),
        ],
    )
    def test_marks_the_kind_of_what_it_strikes_out(self, text: str, expected: str) -> None:
        assert without_personal_data(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "Nothing personal.",
            "user@localhost, @handle, a @ b",
            "DE13500105170648489890",  # a wrong checksum
            "XX89370400440532013000",  # no such country
            "4111 1111 1111 1112",  # a wrong checksum
            "1111111111111117",  # no card begins so
            "On 2026-11-23 at 12:34:56, on 01.02.2026 and on 01/02/2026",
            "1,234,567.89 EUR, 15 %, 3.14159, 100000",
            "version 1.2.3.4.5 and 1.2.3",
            "256.1.1.1",
            "std::vector, a::b, face::feed, ::",
            "aa:bb:cc:dd:ee:ff",
            "550e8400-e29b-41d4-a716-446655440000",
        ],
    )
    def test_leaves(self, text: str) -> None:
        assert without_personal_data(text) == text

    @given(WORDS, cards(), AFTER)
    def test_finds_cards_between_words(self, before: str, card: str, after: str) -> None:
        assert without_personal_data(before + card + after) == f"{before}[CARD]{after}"

    @given(WORDS, ibans(), AFTER)
    def test_finds_accounts_between_words(self, before: str, iban: str, after: str) -> None:
        assert without_personal_data(before + iban + after) == f"{before}[IBAN]{after}"

    @given(WORDS, LOCALS, DOMAINS, AFTER)
    def test_finds_addresses_between_words(self, before: str, local: str, domain: str, after: str) -> None:
        assert without_personal_data(f"{before}{local}@{domain}{after}") == f"{before}[EMAIL]{after}"

    @given(st.text() | st.text(alphabet="0123456789 -.+@:aDE()"))
    def test_takes_any_text(self, text: str) -> None:
        assert len(without_personal_data(text)) <= 3 * len(text)

    @pytest.mark.parametrize(
        "piece",
        ["a", "1", "1 ", "4111 ", "a@", "a.", "DE89", "DE89 ", "+4", "+49 ", "1.", ":", "::1 ", "0 ", "(0", "-"],
    )
    def test_is_not_held_up_by_a_hostile_text(self, piece: str) -> None:
        without_personal_data(piece * (20_000 // len(piece)))


class TestLuhn:
    @pytest.mark.parametrize(("digits", "is_right"), [("79927398713", True), ("79927398710", False)])
    def test_judges_the_last_digit(self, digits: str, *, is_right: bool) -> None:
        assert has_luhn_checksum(digits) is is_right


class TestAccountLengths:
    def test_are_those_an_account_can_have(self) -> None:
        assert all(15 <= length <= 34 for length in IBAN_LENGTHS.values())
