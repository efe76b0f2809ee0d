"""What a question is like, in numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ai.question_features import code_share, features_of

PROSE = """Dear all,

from Monday on we let the old system rest. Import duties are due on Friday; class begins at nine.
Return what you have borrowed, please.
"""
PYTHON = """import os

def greet(name: str) -> str:
    # says hello
    greeting = f"hello {name}"
    return greeting
"""
SQL = "SELECT name, sum(amount)\nFROM orders\nWHERE paid = 1\nGROUP BY name;"


class TestCodeShare:
    @pytest.mark.parametrize(
        ("text", "least", "most"),
        [
            ("", 0, 0),
            ("\n \n", 0, 0),
            (PROSE, 0, 0.1),
            (PYTHON, 0.7, 1),
            (SQL, 0.4, 1),
            ("for (int i = 0; i < n; i++) {\n  total += values[i];\n}", 1, 1),
            ("Why does this fail?\n```\nany words\nat all\n```", 0.6, 0.7),
            (PROSE + PYTHON, 0.4, 0.8),
        ],
    )
    def test_tells_code_from_prose(self, text: str, least: float, most: float) -> None:
        assert least <= code_share(text) <= most

    @given(st.text())
    def test_is_a_share(self, text: str) -> None:
        assert 0 <= code_share(text) <= 1

    @pytest.mark.parametrize("piece", ["a(", " ", "a.", "<a", "x =", "from "])
    def test_is_not_held_up_by_a_long_line(self, piece: str) -> None:
        assert 0 <= code_share(piece * 20_000) <= 1


class TestFeatures:
    def test_are_those_of_the_text_and_of_the_step(self) -> None:
        features = features_of("Why, in ten words?", complexity=0.5, needs_json=True, answer_tokens=100)
        assert (features.characters, features.complexity, features.code_share) == (18, 0.5, 0.0)
        assert (features.needs_json, features.needs_tools) == (True, False)
        assert features.context == features.tokens + 100
