"""Budgets as far as they need no Redis; what they count is in the contract tests."""

from __future__ import annotations

from decimal import Decimal

import pytest

from procos.domain.errors import BusinessError, PermanentError, RateLimited, StepCancelled, TransientError
from procos.domain.external_task import ProcessInstanceId
from procos.settings import AiSettings
from tasks.ai.budgets import Budgets, Reservation, was_unpaid
from tasks.ai.limits import WITHOUT_REDIS
from tasks.ai.prices import Cost
from tests.ai_samples import REDIS_AWAY, profile

INSTANCE = ProcessInstanceId("instance-1")
UNKNOWN = Cost(amount_usd=None, source="genai-prices 0")


def cost(dollars: str) -> Cost:
    return Cost(amount_usd=Decimal(dollars), source="settings")


def budgets(**settings: object) -> Budgets:
    return Budgets(REDIS_AWAY, AiSettings.model_validate(settings))


class TestBudgetOfACall:
    def test_refuses_what_costs_more(self) -> None:
        with pytest.raises(BusinessError) as refused:
            budgets(budget_call=0.01).reserve(profile(), "model", cost("0.010001"), instance=INSTANCE)
        assert refused.value.code == "BUDGET_EXCEEDED"
        assert refused.value.message == (
            "the budget of one request is $0.01 (PROCOS_AI_BUDGET_CALL), $0 of it is used,"
            " and this request may cost $0.010001"
        )
        assert refused.value.variables == {"budget": "call", "cost_so_far": 0.0}

    def test_lets_through_what_costs_as_much(self) -> None:
        assert budgets(budget_call=0.01).reserve(profile(), "model", cost("0.01"), instance=INSTANCE).day is None

    def test_counts_a_part_of_a_micro_dollar_as_a_whole_one(self) -> None:
        with pytest.raises(BusinessError, match=r"may cost \$0\.010001$"):
            budgets(budget_call=0.01).reserve(profile(), "model", cost("0.0100000001"), instance=INSTANCE)


class TestUnknownPrice:
    def test_is_refused_where_there_is_a_budget(self) -> None:
        with pytest.raises(BusinessError, match="PROCOS_PROVIDERS__MISTRAL__INPUT_PRICE") as refused:
            budgets(budget_day=1.0).reserve(profile(), "model", UNKNOWN, instance=INSTANCE)
        assert refused.value.code == "BUDGET_EXCEEDED"
        assert refused.value.variables["budget"] == "unknown_price"

    @pytest.mark.parametrize("settings", [{}, {"budget_day": 1.0, "unknown_price": "allow"}])
    def test_is_let_through_without_one_or_where_it_is_allowed(self, settings: dict[str, object]) -> None:
        reserved = budgets(**settings).reserve(profile(), "model", UNKNOWN, instance=INSTANCE)
        assert reserved == Reservation(instance=INSTANCE)


class TestWithoutRedis:
    @pytest.mark.parametrize("budget", ["budget_instance", "budget_day"])
    def test_refuses_what_costs_something(self, budget: str) -> None:
        with pytest.raises(TransientError, match="nobody knows what is left") as refused:
            budgets(**{budget: 1.0}).reserve(profile(), "model", cost("0.01"), instance=INSTANCE)
        assert (refused.value.code, refused.value.retry_in) == ("LIMITS_UNKNOWN", WITHOUT_REDIS)

    def test_lets_through_what_costs_nothing(self) -> None:
        assert budgets(budget_day=1.0).reserve(profile(), "model", cost("0"), instance=INSTANCE).amount == 0

    def test_lets_everything_through_where_nothing_is_limited(self) -> None:
        assert budgets().reserve(profile(), "model", cost("5"), instance=INSTANCE).day is None

    def test_leaves_the_estimate_spent(self) -> None:
        budgets(budget_day=1.0).settle(Reservation(instance=INSTANCE, amount=5, day=20_000), cost("0"))


class TestUnpaid:
    @pytest.mark.parametrize(
        "error",
        [
            TransientError("no connection", code="PROVIDER_UNREACHABLE"),
            RateLimited("patience", retry_in=WITHOUT_REDIS),
            PermanentError("no key", code="AUTH_FAILED"),
            BusinessError("CONTEXT_TOO_LONG"),
        ],
        ids=str,
    )
    def test_is_what_was_refused_before_any_answer(self, error: Exception) -> None:
        assert was_unpaid(error)

    @pytest.mark.parametrize(
        "error",
        [
            TransientError("silence", code="PROVIDER_TIMED_OUT"),
            TransientError("half an answer", code="PROVIDER_BROKE_OFF"),
            TransientError("503", code="PROVIDER_FAILED"),
            BusinessError("CONTENT_FILTERED"),
            PermanentError("empty", code="NO_ANSWER"),
            StepCancelled("cancelled"),
            ValueError("what is that"),
        ],
        ids=str,
    )
    def test_is_not_what_may_have_been_worked_at(self, error: Exception) -> None:
        assert not was_unpaid(error)
