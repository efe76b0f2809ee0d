"""Budgets on a real Redis: what is counted, what is refused, and four processes that spend at once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from procos import ai_keys as keys
from procos.domain.errors import BusinessError, PermanentError, RateLimited, TaskError
from procos.domain.external_task import ProcessInstanceId
from procos.settings import AiSettings, load_settings
from tasks.ai import guarded_call
from tasks.ai.budgets import Budgets, Reservation
from tasks.ai.chain import BrokenAnswer
from tasks.ai.guarded_call import GuardedCall
from tasks.ai.prices import Cost
from tests.ai_samples import HealthyOrNot, context_of, profile, question
from tests.contract.ai_competitors import PROCESSES, compete

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from procos.settings import RedisSettings
    from tasks.ai.conversation import Answer, Question
    from tasks.ai.provider import Watch

ONE, OTHER = ProcessInstanceId("instance-1"), ProcessInstanceId("instance-2")
A_DAY = 86400
FREE_ERRORS = [
    RateLimited("patience", retry_in=timedelta(seconds=1)),
    PermanentError("no money", code="QUOTA_EXCEEDED"),
    BusinessError("CONTEXT_TOO_LONG"),
]


def cost(dollars: str | None) -> Cost:
    return Cost(amount_usd=None if dollars is None else Decimal(dollars), source="settings")


class Lab:
    """Budgets, and what is written of them."""

    def __init__(self, store: redis.Redis, url: str) -> None:
        self.store, self._url = store, url

    def budgets(self, **settings: float) -> Budgets:
        return Budgets(self._url, AiSettings.model_validate(settings))

    @property
    def day_key(self) -> str:
        (key,) = self.store.keys(f"{keys.SPENT_ON_DAY}*")
        return key.decode() if isinstance(key, bytes) else key

    def spent(self, instance: ProcessInstanceId = ONE) -> tuple[int, int]:
        """Return the micro-dollars of an instance and of the day."""
        return int(self.store.get(keys.spent_by_instance(instance)) or 0), int(self.store.get(self.day_key) or 0)


@pytest.fixture
def lab(redis_client: redis.Redis, redis_settings: RedisSettings) -> Lab:
    return Lab(redis_client, redis_settings.url)


def reserve(budgets: Budgets, dollars: str, instance: ProcessInstanceId = ONE) -> Reservation:
    return budgets.reserve(profile(), "model", cost(dollars), instance=instance)


class Broken(HealthyOrNot):
    """A provider that says some words and then reports an error."""

    def __init__(self, *words: str, error: TaskError) -> None:
        super().__init__(input_price=1000.0, output_price=1000.0)
        self.words, self.error = words, error

    def complete(self, question: Question, *, within: timedelta, watch: Watch) -> Answer:  # noqa: ARG002  # the protocol
        for word in self.words:
            watch.said(word)
        raise self.error


class TestError:
    """One by which a request is refused for nothing, unless the answer had begun."""

    @pytest.fixture
    def ended(
        self, lab: Lab, redis_settings: RedisSettings, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[Broken], tuple[BrokenAnswer | TaskError, int]]:
        def ended(provider: Broken) -> tuple[BrokenAnswer | TaskError, int]:
            """Return what a request ends in, and the micro-dollars it was counted with."""
            monkeypatch.setattr(guarded_call, "provider_of", lambda _: provider)
            environ = {"PROCOS_REDIS_URL": redis_settings.url, "PROCOS_AI_BUDGET_DAY": "10"}
            call = GuardedCall(context_of(load_settings(environ, dotenv=None)))
            try:
                outcome = call(provider.profile, question())
            except TaskError as error:
                return error, lab.spent()[0]
            assert isinstance(outcome, BrokenAnswer)
            return outcome, lab.spent()[0]

        return ended

    @pytest.mark.parametrize("error", FREE_ERRORS, ids=str)
    def test_in_mid_answer_costs_the_estimate(
        self, ended: Callable[[Broken], tuple[BrokenAnswer | TaskError, int]], error: TaskError
    ) -> None:
        outcome, spent = ended(Broken("some", "words", error=error))
        assert outcome == BrokenAnswer(error=error)
        assert spent > 100_000  # the price of 100 tokens of an answer, and of the question

    @pytest.mark.parametrize("error", FREE_ERRORS, ids=str)
    def test_before_the_first_word_costs_nothing(
        self, ended: Callable[[Broken], tuple[BrokenAnswer | TaskError, int]], error: TaskError
    ) -> None:
        assert ended(Broken(error=error)) == (error, 0)


class TestReserve:
    def test_counts_for_the_instance_and_for_the_day(self, lab: Lab) -> None:
        budgets = lab.budgets(budget_day=1.0)
        reserve(budgets, "0.25")
        reserve(budgets, "0.5", OTHER)
        assert [lab.spent(ONE), lab.spent(OTHER)] == [(250_000, 750_000), (500_000, 750_000)]

    def test_refuses_what_is_too_much_for_the_instance(self, lab: Lab) -> None:
        budgets = lab.budgets(budget_instance=0.5, budget_day=10.0)
        reserve(budgets, "0.4")
        with pytest.raises(BusinessError) as refused:
            reserve(budgets, "0.2")
        assert refused.value.message == (
            "the budget of the process instance is $0.5 (PROCOS_AI_BUDGET_INSTANCE), $0.4 of it is used,"
            " and this request may cost $0.2"
        )
        assert refused.value.variables == {"budget": "instance", "cost_so_far": 0.4}
        assert lab.spent() == (400_000, 400_000)
        reserve(budgets, "0.1")
        reserve(budgets, "0.5", OTHER)

    def test_refuses_what_is_too_much_for_the_day(self, lab: Lab) -> None:
        budgets = lab.budgets(budget_day=0.5)
        reserve(budgets, "0.4", OTHER)
        with pytest.raises(BusinessError, match=r"the day \(UTC\) is \$0.5") as refused:
            reserve(budgets, "0.2")
        assert refused.value.variables == {"budget": "day", "cost_so_far": 0.4}
        assert lab.spent() == (0, 400_000)

    def test_counts_also_where_nothing_is_limited(self, lab: Lab) -> None:
        reserve(lab.budgets(), "0.25")
        assert lab.spent() == (250_000, 250_000)

    def test_counts_by_the_day_of_redis(self, lab: Lab) -> None:
        reserved = reserve(lab.budgets(), "0.25")
        assert reserved.day == int(lab.store.time()[0]) // A_DAY
        assert lab.day_key == f"{keys.SPENT_ON_DAY}{reserved.day}"

    def test_is_forgotten_in_the_end(self, lab: Lab) -> None:
        reserve(lab.budgets(), "0.25")
        assert lab.store.ttl(keys.spent_by_instance(ONE)) == pytest.approx(30 * A_DAY, abs=5)
        assert lab.store.ttl(lab.day_key) == pytest.approx(3 * A_DAY, abs=5)


class TestSettle:
    @pytest.mark.parametrize(("actual", "spent"), [("0.1", 100_000), ("0.4", 400_000), ("0", 0), ("0.25", 250_000)])
    def test_corrects_to_what_it_did_cost(self, lab: Lab, actual: str, spent: int) -> None:
        budgets = lab.budgets()
        budgets.settle(reserve(budgets, "0.25"), cost(actual))
        assert lab.spent() == (spent, spent)
        assert lab.store.ttl(keys.spent_by_instance(ONE)) == pytest.approx(30 * A_DAY, abs=5)
        assert lab.store.ttl(lab.day_key) == pytest.approx(3 * A_DAY, abs=5)

    @pytest.mark.parametrize("actual", [None, cost(None)])
    def test_leaves_the_estimate_where_nobody_knows(self, lab: Lab, actual: Cost | None) -> None:
        budgets = lab.budgets()
        budgets.settle(reserve(budgets, "0.25"), actual)
        assert lab.spent() == (250_000, 250_000)

    def test_does_not_give_back_to_a_counter_that_was_lost(self, lab: Lab) -> None:
        budgets = lab.budgets()
        reserved = reserve(budgets, "0.25")
        lab.store.flushall()
        budgets.settle(reserved, cost("0"))
        assert lab.store.keys() == []

    def test_belongs_to_the_day_of_the_reservation(self, lab: Lab) -> None:
        budgets = lab.budgets()
        today = reserve(budgets, "0.25").day
        assert today is not None
        lab.store.set(f"{keys.SPENT_ON_DAY}{today - 1}", 250_000)
        budgets.settle(Reservation(instance=ONE, amount=250_000, day=today - 1), cost("0.05"))
        spent = [int(lab.store.get(f"{keys.SPENT_ON_DAY}{day}") or 0) for day in (today - 1, today)]
        assert spent == [50_000, 250_000]


class TestProcesses:
    def test_never_spend_more_than_there_is_together(self, lab: Lab, redis_settings: RedisSettings) -> None:
        reserved = compete("spend", redis_settings.url)
        assert len(reserved) == PROCESSES
        assert sum(reserved) == 100
        assert int(lab.store.get(lab.day_key) or 0) == 1_000_000
