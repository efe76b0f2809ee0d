"""What is taken out of a model's words, and what is told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ai.model_text import CONTROL, cleaned, cleaned_value, excerpt, needs_cleaning

TEXTS = st.text(st.characters())  # lone surrogates among them
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


class TestCleaned:
    @pytest.mark.parametrize(
        ("text", "expected", "taken_out"),
        [
            ("plain\n\ttext", "plain\n\ttext", False),
            ("a\0b", "ab", True),
            ("\x1b[31mred\x9f", "[31mred", True),
            ("half \ud83d of a pair", "half  of a pair", True),
            ("a whole pair 😀", "a whole pair 😀", False),
            ("one\r\ntwo\rthree", "one\ntwo\nthree", False),
        ],
    )
    def test_takes_out_what_cannot_be_stored(self, text: str, expected: str, *, taken_out: bool) -> None:
        assert cleaned(text) == expected
        assert needs_cleaning(text) is taken_out

    @given(TEXTS)
    def test_leaves_what_every_encoder_takes(self, text: str) -> None:
        assert CONTROL.search(cleaned(text)) is None
        cleaned(text).encode()


class TestCleanedValue:
    def test_reaches_names_and_depths(self) -> None:
        found = cleaned_value({"a\0": [{"b": "x\ud800"}], "c": 1})
        assert (found.value, found.was_cleaned) == ({"a": [{"b": "x"}], "c": 1}, True)

    def test_says_that_nothing_was_taken_out(self) -> None:
        found = cleaned_value({"a": ["b", None, 1.5, True]})
        assert (found.value, found.was_cleaned) == ({"a": ["b", None, 1.5, True]}, False)

    def test_keeps_members_whose_names_become_the_same(self) -> None:
        found = cleaned_value({"a\0": 1, "a": 2, "\0a": 3, "a_2": 4})
        assert found.value == {"a_3": 1, "a": 2, "a_4": 3, "a_2": 4}

    def test_finds_names_for_many_that_become_the_same(self) -> None:
        found = cleaned_value({"\0" * number: number for number in range(1, 500)})
        assert len(found.value) == 499

    @given(VALUES)
    def test_loses_nothing_and_leaves_nothing_that_cannot_be_stored(self, value: Any) -> None:
        found = cleaned_value(value)
        json.dumps(found.value, ensure_ascii=False).encode()
        assert shape(found.value) == shape(value)
        assert cleaned_value(found.value).was_cleaned is False


def shape(value: Any) -> Any:
    """Return what holds what, without texts and names."""
    if isinstance(value, dict):
        return [shape(member) for member in value.values()]
    return [shape(item) for item in value] if isinstance(value, list) else type(value)


class TestExcerpt:
    def test_is_one_short_line_without_the_secret(self) -> None:
        assert excerpt("a\n  b sk-1\0", secret="sk-1") == "a b ***"
        assert excerpt("x" * 300) == "x" * 199 + "…"
