"""Budgets on a real Redis: what is counted, what is refused, and four processes that spend at once."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from procos import ai_keys as keys
from procos.domain.errors import BusinessError
from procos.domain.external_task import ProcessInstanceId
from procos.settings import AiSettings
from tasks.ai.budgets import Budgets, Reservation
from tasks.ai.prices import Cost
from tests.ai_samples import profile
from tests.contract.ai_competitors import PROCESSES, compete

if TYPE_CHECKING:
    import redis

    from procos.settings import RedisSettings

ONE, OTHER = ProcessInstanceId("instance-1"), ProcessInstanceId("instance-2")
A_DAY = 86400


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
