"""The fallback chain: who is asked after whom, and what is said where nobody answers."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import (
    BusinessError,
    PermanentError,
    RateLimited,
    StepCancelled,
    TaskError,
    TransientError,
)
from tasks.ai.chain import BrokenAnswer, Called, Candidate, Chain, KeptRefusal
from tasks.ai.conversation import Answer, FinishReason, Message, Question, Role
from tasks.ai.provider import Capabilities, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSWER = Answer(text="42", model="m-1", finish_reason=FinishReason.STOP, usage={"total_tokens": 7})
AWAY = TransientError("away", code="PROVIDER_UNREACHABLE")
TOO_LONG = BusinessError("CONTEXT_TOO_LONG", "too long")
NOW = timedelta(seconds=1)


def candidate(name: str, *, window: int | None = None) -> Candidate:
    profile = Profile(
        name=name, kind="openai", base_url="http://x", api_key="", model="m", timeout=NOW, first_token_timeout=NOW,
        token_timeout=NOW, health_timeout=NOW, capabilities=Capabilities(context_window=window),
        address_setting="", key_setting="", model_setting="",
    )  # fmt: skip
    said = (Message(role=Role.USER, content="why?"),)
    return Candidate(profile=profile, question=Question(messages=said, model="m", max_tokens=1, temperature=0))


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def forgotten() -> list[str]:
    """Whom the step does not come back to."""
    return []


@pytest.fixture
def chain_of(asked: list[str], forgotten: list[str]) -> Callable[..., Chain]:
    def chain_of(
        outcomes: Mapping[str, Exception | Called | KeptRefusal | BrokenAnswer], *, time_is_left: bool = True
    ) -> Chain:
        def call(profile: Profile, _: Question) -> Called | KeptRefusal | BrokenAnswer:
            asked.append(profile.name)
            outcome = outcomes[profile.name]
            if isinstance(outcome, Called | KeptRefusal | BrokenAnswer):
                return outcome
            raise outcome

        return Chain(
            call,
            may_go_on=lambda: time_is_left,
            forget=lambda profile: forgotten.append(profile.name),
            clock=lambda: 5.0,
        )

    return chain_of


class TestChain:
    def test_asks_nobody_else_where_the_first_answers(self, chain_of: Callable[..., Chain], asked: list[str]) -> None:
        chain = chain_of({"a": Called(answer=ANSWER, cost=Decimal("0.5"))})
        first, called = chain.ask([candidate("a"), candidate("b")])
        assert (first.profile.name, called.answer, asked) == ("a", ANSWER, ["a"])
        assert [attempt.as_variable() for attempt in chain.attempts] == [
            {
                "provider": "a", "model": "m-1", "outcome": "answered", "response_time_ms": 0,
                "usage": {"total_tokens": 7}, "cost": 0.5,
                "price_source": "",
            }
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "error",
        [AWAY, TransientError("open", code="PROVIDER_UNAVAILABLE"), RateLimited("later", retry_in=NOW), TOO_LONG],
    )
    def test_asks_the_next_where_that_may_help(self, chain_of: Callable[..., Chain], error: TaskError) -> None:
        chain = chain_of({"a": error, "b": Called(answer=ANSWER, was_kept=True)})
        second, _ = chain.ask([candidate("a"), candidate("b")])
        assert second.profile.name == "b"
        assert [attempt.outcome for attempt in chain.attempts][1] == "kept"

    @pytest.mark.parametrize(
        "error",
        [
            BusinessError("CONTENT_FILTERED", "no"),
            BusinessError("REFUSED", "no"),
            BusinessError("BUDGET_EXCEEDED", "no"),
            PermanentError("no", code="AUTH_FAILED"),
            StepCancelled("gone"),
        ],
    )
    def test_ends_where_it_would_be_the_same_question_again(
        self, chain_of: Callable[..., Chain], asked: list[str], error: TaskError
    ) -> None:
        chain = chain_of({"a": error, "b": Called(answer=ANSWER)})
        with pytest.raises(type(error)):
            chain.ask([candidate("a"), candidate("b")])
        assert asked == ["a"]
        assert len(chain.attempts) == 1

    def test_notes_what_an_earlier_run_was_refused_with_as_kept_and_paid(self, chain_of: Callable[..., Chain]) -> None:
        refusal = BusinessError("REFUSED", "no")
        chain = chain_of({"a": KeptRefusal(error=refusal), "b": Called(answer=ANSWER)})
        with pytest.raises(BusinessError) as raised:
            chain.ask([candidate("a"), candidate("b")])
        assert raised.value is refusal
        assert [(attempt.outcome, attempt.cost) for attempt in chain.attempts] == [("kept", Decimal(0))]

    def test_goes_on_for_nothing_where_a_fallback_wrote_nothing_to_an_earlier_run(
        self, chain_of: Callable[..., Chain]
    ) -> None:
        nothing = KeptRefusal(error=PermanentError("no word", code="NO_ANSWER"))
        chain = chain_of({"a": AWAY, "b": nothing, "c": Called(answer=ANSWER)})
        assert chain.ask([candidate(name) for name in "abc"])[0].profile.name == "c"
        assert [(attempt.outcome, attempt.cost) for attempt in chain.attempts][1] == ("kept", Decimal(0))

    def test_asks_only_larger_ones_what_was_too_long(self, chain_of: Callable[..., Chain], asked: list[str]) -> None:
        chain = chain_of({"a": TOO_LONG, "small": AWAY, "large": Called(answer=ANSWER)})
        chain.ask([candidate("a", window=4096), candidate("small", window=2048), candidate("large", window=8192)])
        assert asked == ["a", "large"]

    def test_ends_where_a_fallback_says_no(self, chain_of: Callable[..., Chain]) -> None:
        chain = chain_of({"a": AWAY, "b": BusinessError("REFUSED", "no"), "c": Called(answer=ANSWER)})
        with pytest.raises(BusinessError, match="REFUSED"):
            chain.ask([candidate(name) for name in "abc"])

    def test_makes_no_incident_of_a_fallback_that_is_wrongly_set_up(self, chain_of: Callable[..., Chain]) -> None:
        limited, denied = RateLimited("later", retry_in=NOW), PermanentError("no", code="AUTH_FAILED")
        chain = chain_of({"a": limited, "b": denied})
        with pytest.raises(RateLimited):
            chain.ask([candidate("a"), candidate("b")])
        assert [attempt.outcome for attempt in chain.attempts] == ["RATE_LIMITED", "AUTH_FAILED"]

    @pytest.mark.parametrize(
        ("error", "cost"), [(AWAY, Decimal(0)), (TransientError("stalled", code="PROVIDER_STALLED"), None)]
    )
    def test_says_what_a_failure_may_have_cost(
        self, chain_of: Callable[..., Chain], error: TaskError, cost: Decimal | None
    ) -> None:
        chain = chain_of({"a": error, "b": Called(answer=ANSWER)})
        chain.ask([candidate("a"), candidate("b")])
        assert chain.attempts[0].cost == cost

    def test_does_not_take_an_answer_that_broke_off_for_a_refusal_that_is_free(
        self, chain_of: Callable[..., Chain]
    ) -> None:
        limited = RateLimited("later", retry_in=NOW)
        chain = chain_of({"a": BrokenAnswer(error=limited), "b": Called(answer=ANSWER, cost=Decimal("0.5"))})
        chain.ask([candidate("a"), candidate("b")])
        assert [(attempt.outcome, attempt.cost) for attempt in chain.attempts] == [
            ("RATE_LIMITED", None), ("answered", Decimal("0.5")),
        ]  # fmt: skip

    def test_ends_when_no_time_is_left(self, chain_of: Callable[..., Chain], asked: list[str]) -> None:
        chain = chain_of({"a": AWAY}, time_is_left=False)
        with pytest.raises(TransientError):
            chain.ask([candidate("a"), candidate("b")])
        assert asked == ["a"]


class TestPromise:
    LATER, SOON = (RateLimited("wait", retry_in=timedelta(seconds=s)) for s in (90, 20))

    def test_is_given_up_once_another_has_answered(self, chain_of: Callable[..., Chain], forgotten: list[str]) -> None:
        chain_of({"a": self.LATER, "b": self.SOON, "c": Called(answer=ANSWER)}).ask([candidate(n) for n in "abc"])
        assert forgotten == ["a", "b"]

    @pytest.mark.parametrize(
        "end", [BusinessError("REFUSED", "no"), StepCancelled("gone"), ValueError("broken")], ids=str
    )
    def test_is_given_up_where_the_step_ends(
        self, chain_of: Callable[..., Chain], forgotten: list[str], end: Exception
    ) -> None:
        with pytest.raises(type(end)):
            chain_of({"a": self.LATER, "b": end}).ask([candidate("a"), candidate("b")])
        assert forgotten == ["a"]

    def test_is_kept_by_who_is_free_first_and_given_up_to_the_others(
        self, chain_of: Callable[..., Chain], forgotten: list[str]
    ) -> None:
        with pytest.raises(RateLimited):
            chain_of({"a": self.LATER, "b": self.SOON, "c": AWAY}).ask([candidate(name) for name in "abc"])
        assert forgotten == ["a"]


class TestNobodyAnswers:
    def test_is_a_postponement_to_who_is_free_first(self, chain_of: Callable[..., Chain]) -> None:
        later, soon = (RateLimited("wait", retry_in=timedelta(seconds=s)) for s in (90, 20))
        chain = chain_of({"a": AWAY, "b": later, "c": soon})
        with pytest.raises(RateLimited) as raised:
            chain.ask([candidate(name) for name in "abc"])
        assert raised.value is soon

    def test_is_the_first_trouble_else(self, chain_of: Callable[..., Chain]) -> None:
        chain = chain_of({"a": AWAY, "b": TransientError("other")})
        with pytest.raises(TransientError) as raised:
            chain.ask([candidate("a"), candidate("b")])
        assert raised.value is AWAY

    def test_is_no_bpmn_error_while_one_that_is_away_might_answer(self, chain_of: Callable[..., Chain]) -> None:
        chain = chain_of({"a": TOO_LONG, "b": AWAY})
        with pytest.raises(TransientError):
            chain.ask([candidate("a"), candidate("b")])
