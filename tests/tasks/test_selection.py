"""The rule that chooses a provider: the guide's table, row by row, and what is left out, ranked and said beside it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ai.policy import Policy, QuestionClass
from tasks.ai.provider import Capabilities
from tasks.ai.question_features import Features, features_of
from tasks.ai.selection import COMPLEX_QUESTION, LONG_QUESTION, NONE, OLLAMA, OPENAI, Candidate, Choice, select

ALL_THE_SAME = "; the question is for openai all the same, which says when"
SHORT, LIMIT, LONG = "why?", "x" * LONG_QUESTION, "x" * (LONG_QUESTION + 1)
TABLE = Policy(classes=(QuestionClass(name="large", up_to={}, groups=(("a", "b", "c"), ("d",))),))


def must_not_be_asked() -> bool:
    raise AssertionError


def chosen(question: str = SHORT, complexity: float = 0.0, *, openai: Any = True, ollama: Any = True) -> Choice:
    """Choose by the guide's rule; a provider is one that answers, one that is not configured, or as given."""
    of_openai = openai if isinstance(openai, dict) else {"is_configured": openai}
    of_ollama = ollama if isinstance(ollama, dict) else {"answers": lambda: ollama}
    candidates = [Candidate(name=OPENAI, **of_openai), Candidate(name=OLLAMA, is_local=True, **of_ollama)]
    return select(features_of(question, complexity=complexity), candidates)


def of_table(*candidates: Candidate, **needs: Any) -> Choice:
    return select(features_of(SHORT, **needs), candidates, TABLE)


class TestGuide:
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
        assert chosen(question, complexity, openai=openai, ollama=ollama).provider == expected

    def test_does_not_ask_ollama_where_openai_is_chosen_anyway(self) -> None:
        choice = chosen(LONG, ollama={"answers": must_not_be_asked})
        assert choice.reason == "the question is longer than 2000 characters and OpenAI is configured"
        assert choice.ranked == (OPENAI, OLLAMA)

    @pytest.mark.parametrize(
        ("complexity", "openai", "ollama", "reason"),
        [
            (0.0, True, True, "Ollama answers"),
            (0.0, True, False, "Ollama is not available and OpenAI is configured"),
            (0.0, False, False, "OpenAI has no key and Ollama is not available"),
            (0.9, False, True, "Ollama answers; the complexity is above 0.8, but no OpenAI key"),
            (
                0.9,
                {"breaker_is_open": True},
                True,
                "Ollama answers; the complexity is above 0.8, but OpenAI has failed too often in the last while",
            ),
            (0.0, {"headroom": 0.0}, False, "OpenAI has reached its limits and Ollama is not available" + ALL_THE_SAME),
        ],
    )
    def test_says_why(self, complexity: float, openai: Any, ollama: Any, reason: str) -> None:
        assert chosen(complexity=complexity, openai=openai, ollama=ollama).reason == reason

    def test_says_how_all_of_them_stand(self) -> None:
        choice = chosen(ollama=False)
        assert choice.scores == {OPENAI: 1.0, OLLAMA: 0.0}
        assert choice.reasons == {OPENAI: choice.reason, OLLAMA: "does not answer"}
        assert chosen().scores == {OLLAMA: 1.0, OPENAI: 0.5}

    def test_takes_others_where_neither_can_answer(self) -> None:
        others = [Candidate(name="mistral", price=0.02), Candidate(name="groq", price=0.01)]
        absent = [Candidate(name=OPENAI, is_configured=False), Candidate(name=OLLAMA, is_configured=False)]
        choice = select(features_of(SHORT), [*absent, *others])
        assert choice.ranked == ("groq", "mistral")
        assert choice.reason == "OpenAI has no key and Ollama is not available, and groq can answer"

    def test_prefers_who_takes_a_json_schema_where_one_is_needed(self) -> None:
        plain = Candidate(name=OLLAMA, capabilities=Capabilities(json_schema=False), answers=must_not_be_asked)
        choice = select(features_of(SHORT, needs_json=True), [plain, Candidate(name=OPENAI)])
        assert choice.reason == "Ollama takes no JSON Schema of its own and OpenAI is configured"
        assert choice.ranked == (OPENAI, OLLAMA)


class TestObstacles:
    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            ({"is_configured": False}, "is not configured"),
            ({"capabilities": Capabilities(tools=False)}, "takes no tools"),
            (
                {"capabilities": Capabilities(context_window=1000)},
                "has room for 1000 tokens, and about 1002 are needed",
            ),
            ({"breaker_is_open": True}, "has failed too often in the last while"),
            ({"headroom": 0.0}, "has reached its limits"),
            ({"is_affordable": False}, "would cost more than the budget allows"),
            ({"answers": lambda: False}, "does not answer"),
            ({"name": "z"}, "is not in the policy for such questions"),
        ],
    )
    def test_leave_a_provider_out_and_are_told(self, facts: dict[str, Any], reason: str) -> None:
        candidate = Candidate(**{"name": "a", **facts})
        choice = of_table(candidate, Candidate(name="d"), needs_tools=True, answer_tokens=1000)
        assert (choice.provider, choice.ranked) == ("d", ("d",))
        assert (choice.reasons[candidate.name], choice.scores[candidate.name]) == (reason, 0.0)

    def test_may_leave_nobody(self) -> None:
        choice = of_table(Candidate(name="a", is_configured=False), Candidate(name="b", answers=lambda: False))
        assert (choice.provider, choice.ranked) == (NONE, ())
        assert choice.reason == (
            "the question is large, and no provider for it can answer; a is not configured; b does not answer"
        )

    @pytest.mark.parametrize(
        "facts",
        [
            {"headroom": 0.0},
            {"breaker_is_open": True},
            {"is_affordable": False},
            {"capabilities": Capabilities(context_window=1)},
        ],
    )
    def test_that_pass_leave_the_question_to_the_best_of_those_who_may_answer_later(
        self, facts: dict[str, Any]
    ) -> None:
        choice = of_table(Candidate(name="b", **facts), Candidate(name="d", **facts), Candidate(name="z"))
        assert (choice.provider, choice.ranked) == ("b", ())
        assert choice.reason.endswith("the question is for b all the same, which says when")


class TestEquals:
    @pytest.mark.parametrize(
        ("candidates", "ranked"),
        [
            ([Candidate(name="a", price=0.2), Candidate(name="b", price=0.1)], ("b", "a")),
            ([Candidate(name="a", price=0.2), Candidate(name="b")], ("a", "b")),
            ([Candidate(name="a", price=0.2), Candidate(name="b", is_local=True)], ("b", "a")),
            ([Candidate(name="a", headroom=0.2), Candidate(name="b", headroom=0.9)], ("b", "a")),
            ([Candidate(name="b"), Candidate(name="a")], ("a", "b")),
            ([Candidate(name="d", price=0.0), Candidate(name="a", price=9.0)], ("a", "d")),
        ],
    )
    def test_are_ordered_by_price_then_headroom_then_name(
        self, candidates: list[Candidate], ranked: tuple[str, ...]
    ) -> None:
        assert of_table(*candidates).ranked == ranked

    def test_have_equal_scores(self) -> None:
        choice = of_table(*(Candidate(name=name) for name in ("a", "b", "d")))
        assert choice.scores == {"a": 1.0, "b": 1.0, "d": 0.5}

    @given(st.permutations(["a", "b", "c", "d"]), st.lists(st.sampled_from([None, 0.1, 0.2]), min_size=4, max_size=4))
    def test_do_not_depend_on_the_order_in_which_they_are_given(
        self, order: list[str], prices: list[float | None]
    ) -> None:
        candidates = [Candidate(name=name, price=price) for name, price in zip("abcd", prices, strict=True)]
        shuffled = sorted(candidates, key=lambda candidate: order.index(candidate.name))
        assert of_table(*shuffled) == of_table(*candidates)


class TestPreferenceOfATable:
    def test_is_told_with_the_choice(self) -> None:
        rows = (
            QuestionClass(name="small", up_to={"characters": 3, "complexity": 0.5}, groups=(("a",),)),
            QuestionClass(name="medium", up_to={"complexity": 0.9}, groups=(("b",), ("a",))),
            QuestionClass(name="large", up_to={}, groups=(("c",),)),
        )
        candidates = [Candidate(name=name) for name in "abc"]
        choice = select(features_of(SHORT), candidates, Policy(classes=rows))
        assert choice.reason == (
            "the question is medium (4 characters, above 3 of small), and b is the first for it that can answer"
        )
        complex_one = Features(characters=1, tokens=1, complexity=1.0, code_share=0.0)
        assert select(complex_one, candidates, Policy(classes=rows)).provider == "c"
