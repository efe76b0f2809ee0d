"""Policy tables: what they say, and how a wrong one is told of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import PermanentError
from tasks.ai.policy import LARGEST_POLICY, Policy, policy_from
from tasks.ai.question_features import Features

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = ("openai", "ollama", "mistral")
CLASSES: dict[str, Any] = {
    "small": {"up_to": {"tokens": 500, "complexity": 0.3}, "providers": ["ollama", "openai"]},
    "medium": {"up_to": {"tokens": 4000, "code_share": 0.5}, "providers": [["openai", "mistral"], "ollama"]},
    "large": {"providers": ["openai"]},
}


def read(folder: Path, content: Any) -> Policy:
    file = folder / "policy.json"
    file.write_text(content if isinstance(content, str) else json.dumps({"classes": content}))
    return policy_from(file, known=KNOWN)


def refusal(folder: Path, content: Any) -> str:
    with pytest.raises(PermanentError, match=r"^the policy of PROCOS_AI_POLICY, policy.json: ") as raised:
        read(folder, content)
    assert raised.value.code == "POLICY"
    return str(raised.value).partition("policy.json: ")[2]


def with_row(name: str, **changes: Any) -> dict[str, Any]:
    return CLASSES | {name: CLASSES[name] | changes}


class TestPolicy:
    @pytest.mark.parametrize(
        ("features", "name", "why"),
        [
            ({"tokens": 500, "complexity": 0.3}, "small", "the question is small"),
            ({"tokens": 501}, "medium", "the question is medium (501 tokens, above 500 of small)"),
            ({"complexity": 0.4}, "medium", "the question is medium (0.4 of complexity, above 0.3 of small)"),
            ({"tokens": 4001}, "large", "the question is large (4001 tokens, above 4000 of medium)"),
            (
                {"complexity": 1.0, "code_share": 0.6},
                "large",
                "the question is large (0.6 of code, above 0.5 of medium)",
            ),
        ],
    )
    def test_puts_a_question_into_the_first_class_it_fits(
        self, tmp_path: Path, features: dict[str, Any], name: str, why: str
    ) -> None:
        question = Features(**{"characters": 1, "tokens": 1, "complexity": 0.0, "code_share": 0.0, **features})
        preference = read(tmp_path, CLASSES).preference(question)
        rows = {row.name: row for row in read(tmp_path, CLASSES).classes}
        assert (preference.groups, preference.why) == (rows[name].groups, why)

    def test_has_groups_of_equals(self, tmp_path: Path) -> None:
        assert read(tmp_path, CLASSES).classes[1].groups == (("openai", "mistral"), ("ollama",))


class TestPolicyFrom:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("{", "is not JSON at line 1, column 2"),
            ('{"classes": {}, "classes": {}}', "has the member 'classes' twice in one object"),
            (" " * (LARGEST_POLICY + 1), f"is larger than {LARGEST_POLICY} bytes"),
            ("[]", "(all): expected object, got array"),
            ({}, "classes.small: is missing; classes.medium: is missing; classes.large: is missing"),
            (with_row("large", up_to={"tokens": 1}), "classes.large: has members it should not have: up_to"),
            (
                with_row("small", up_to={}),
                "classes.small.up_to: expected one or more of characters, tokens, complexity",
            ),
            (with_row("small", up_to={"token": 1}), "classes.small.up_to: has members it should not have: token"),
            (with_row("small", up_to={"complexity": 2}), "classes.small.up_to.complexity: is more than 1"),
            (with_row("large", providers=[]), "classes.large.providers: has fewer than 1 items"),
            (with_row("large", providers=[1]), "classes.large.providers[0]: expected a provider, or a list of equals"),
            (with_row("large", providers=["x", ["x"]]), "classes.large.providers: 'x' is there twice; classes.large."),
            (
                with_row("large", providers=["olama"]),
                "classes.large.providers: no provider is named 'olama'; known: mistral, ollama, openai; did you mean",
            ),
            (with_row("medium", up_to={"tokens": 1}), "classes.medium.up_to.tokens: is less than that of small"),
        ],
    )
    def test_says_where_a_table_is_wrong(self, tmp_path: Path, content: Any, reason: str) -> None:
        assert refusal(tmp_path, content).startswith(reason)

    def test_says_that_there_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(PermanentError, match=r"missing.json: cannot be read: No such file"):
            policy_from(tmp_path / "missing.json", known=KNOWN)
