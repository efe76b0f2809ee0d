"""Topic response_formatting: text and JSON, with and without metadata."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.generic.response_formatting import ResponseFormattingInput, response_formatting

METADATA = {
    "model_used": "m",
    "provider": "openai",
    "usage": {"prompt_tokens": 3, "total_tokens": 7},
    "response_time_ms": 12,
}


def formatted(**variables: Any) -> str:
    return response_formatting(ResponseFormattingInput.model_validate(variables)).formatted_response


class TestResponseFormatting:
    def test_leaves_plain_text_as_it_is(self) -> None:
        assert formatted(ai_response="42\n", **METADATA) == "42\n"

    def test_adds_metadata_as_lines(self) -> None:
        assert formatted(ai_response="42", include_metadata=True, **METADATA) == (
            "42\n\nModel: m\nProvider: openai\nTokens: 7\nMilliseconds: 12"
        )

    def test_writes_json_in_any_language(self) -> None:
        text = formatted(ai_response='"å"', format_type="json")
        assert json.loads(text) == {"response": '"å"'}
        assert "å" in text

    def test_adds_metadata_to_json(self) -> None:
        text = formatted(ai_response="42", format_type="json", include_metadata=True, **METADATA)
        assert json.loads(text) == {"response": "42", "metadata": METADATA}

    @pytest.mark.parametrize("format_type", ["text", "json"])
    def test_leaves_out_what_is_not_known(self, format_type: str) -> None:
        text = formatted(ai_response="42", format_type=format_type, include_metadata=True, provider="openai")
        assert "openai" in text
        assert "None" not in text
        assert "null" not in text

    def test_adds_no_lines_where_nothing_is_known(self) -> None:
        assert formatted(ai_response="42", include_metadata=True) == "42"

    def test_shows_a_usage_without_total_as_it_came(self) -> None:
        assert formatted(ai_response="42", include_metadata=True, usage={"words": 2}).endswith("Tokens: {'words': 2}")

    def test_gives_the_same_text_twice(self) -> None:
        assert formatted(ai_response="42", format_type="json") == formatted(ai_response="42", format_type="json")

    @pytest.mark.parametrize(
        "variables",
        [{}, {"ai_response": 42}, {"ai_response": "x", "format_type": "html"}, {"ai_response": "x", "usage": "many"}],
    )
    def test_refuses_what_it_cannot_format(self, variables: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            ResponseFormattingInput.model_validate(variables)
