"""The rule that chooses a provider: the guide's table, row by row."""

from __future__ import annotations

import pytest

from tasks.ai.selection import COMPLEX_QUESTION, LONG_QUESTION, choose

SHORT, LIMIT, LONG = "why?", "x" * LONG_QUESTION, "x" * (LONG_QUESTION + 1)


class TestChoose:
    @pytest.mark.parametrize(
        ("question", "complexity", "openai", "ollama", "expected"),
        [
            (SHORT, 0.0, True, True, "ollama"),
            (SHORT, 0.0, False, True, "ollama"),
            (SHORT, 0.0, True, False, "openai"),
            (SHORT, 0.0, False, False, "none"),
            (LIMIT, COMPLEX_QUESTION, True, True, "ollama"),
            (LONG, 0.0, True, True, "openai"),
            (LONG, 0.0, True, False, "openai"),
            (LONG, 0.0, False, True, "ollama"),
            (LONG, 0.0, False, False, "none"),
            (SHORT, 0.81, True, True, "openai"),
            (SHORT, 0.81, False, True, "ollama"),
            (SHORT, 1.0, False, False, "none"),
        ],
    )
    def test_follows_the_rule(
        self, question: str, complexity: float, *, openai: bool, ollama: bool, expected: str
    ) -> None:
        choice = choose(
            question=question, complexity_score=complexity, openai_configured=openai, ollama_answers=lambda: ollama
        )
        assert choice.provider == expected

    def test_does_not_ask_ollama_where_openai_is_chosen_anyway(self) -> None:
        def must_not_be_asked() -> bool:
            raise AssertionError

        choice = choose(question=LONG, complexity_score=0.0, openai_configured=True, ollama_answers=must_not_be_asked)
        assert choice.reason == "the question is longer than 2000 characters and OpenAI is configured"

    def test_says_that_a_demanding_question_had_to_go_to_ollama(self) -> None:
        choice = choose(question=SHORT, complexity_score=0.9, openai_configured=False, ollama_answers=lambda: True)
        assert choice.reason == "Ollama answers; the complexity is above 0.8, but no OpenAI key"
