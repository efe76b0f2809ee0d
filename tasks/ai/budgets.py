"""What may be spent on AI requests: one by one, by a process instance, and on a day; over all workers of all hosts.

`reserve` counts what a request may cost before it is sent, in one step with the check, so that requests which are about
to be sent at the same moment do not overspend together. `settle` corrects that when its cost is known. What is never
settled, because its worker died or Redis was away, stays spent: the provider may have counted it too.

Amounts are whole micro-dollars, rounded up. The day is that of Redis's clock, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import TYPE_CHECKING, NoReturn

import redis

from procos import ai_keys as keys
from procos.domain.errors import BusinessError, PermanentError, RateLimited, TransientError
from tasks.ai.budget_scripts import RESERVE, SETTLE
from tasks.ai.limits import UNKNOWN, WITHOUT_REDIS
from tasks.ai.outage import Outage
from tasks.ai.providers.faults import NO_TIME
from tasks.store import client

if TYPE_CHECKING:
    from procos.domain.external_task import ProcessInstanceId
    from procos.settings import AiSettings
    from tasks.ai.prices import Cost
    from tasks.ai.provider import Profile

BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
NO_LIMIT = -1
A_DOLLAR = 1_000_000
INSTANCE_KEPT_SECONDS = 30 * 24 * 3600
DAY_KEPT_SECONDS = 3 * 24 * 3600
CALL, INSTANCE, DAY = "call", "instance", "day"
WORDS = {CALL: "one request", INSTANCE: "the process instance", DAY: "the day (UTC)"}
UNPAID = frozenset(
    {
        "PROVIDER_UNREACHABLE",
        "AUTH_FAILED",
        "MODEL_NOT_FOUND",
        "QUOTA_EXCEEDED",
        "REQUEST_REFUSED",
        "CONTEXT_TOO_LONG",
        "PROVIDER_UNAVAILABLE",
        BUDGET_EXCEEDED,
        NO_TIME,
        UNKNOWN,
    }
)
"""Codes of errors after which no provider asks for money, unless they came in mid-answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a request was counted with, in micro-dollars; `day` is None where nothing was counted."""

    instance: ProcessInstanceId
    amount: int = 0
    day: int | None = None


class Budgets:
    """Counts what requests cost, and refuses those for which nothing is left; may be shared by threads."""

    def __init__(self, url: str, settings: AiSettings) -> None:
        store = client(url)
        self._reserve, self._settle = store.register_script(RESERVE), store.register_script(SETTLE)
        self._settings, self._outage = settings, Outage("budgets")
        self._limits = {
            CALL: _limit(settings.budget_call),
            INSTANCE: _limit(settings.budget_instance),
            DAY: _limit(settings.budget_day),
        }

    def reserve(self, profile: Profile, model: str, estimate: Cost, *, instance: ProcessInstanceId) -> Reservation:
        """Count what a request may cost, before it is sent. Then call `settle`, however the request ends.

        Raises:
            BusinessError: BUDGET_EXCEEDED; it names the budget, its limit and what is used of it.
            TransientError: Redis is away, so that nobody knows what is left.
        """
        if estimate.amount_usd is None:
            self._refuse_unknown(profile, model, estimate)
            return Reservation(instance=instance)
        amount = _micro_dollars(estimate.amount_usd)
        if amount == 0:
            return Reservation(instance=instance)
        if NO_LIMIT < self._limits[CALL] < amount:
            self._exceeded(CALL, used=0, amount=amount)
        return self._counted(profile, instance, amount)

    def settle(self, reservation: Reservation, actual: Cost | None) -> None:
        """Correct a reservation to what the request did cost; where that is not known, it has cost the estimate."""
        if reservation.day is None or actual is None or actual.amount_usd is None:
            return
        difference = _micro_dollars(actual.amount_usd) - reservation.amount
        if difference == 0:
            return
        try:
            self._settle(
                keys=[keys.spent_by_instance(reservation.instance), f"{keys.SPENT_ON_DAY}{reservation.day}"],
                args=[difference, INSTANCE_KEPT_SECONDS, DAY_KEPT_SECONDS],
            )
        except redis.RedisError as error:
            self._outage.note(error)  # the estimate stays spent

    def _counted(self, profile: Profile, instance: ProcessInstanceId, amount: int) -> Reservation:
        try:
            refused, of_instance, of_day, day = self._reserve(
                keys=[keys.spent_by_instance(instance)],
                args=[
                    keys.SPENT_ON_DAY,
                    amount,
                    self._limits[INSTANCE],
                    self._limits[DAY],
                    INSTANCE_KEPT_SECONDS,
                    DAY_KEPT_SECONDS,
                ],
            )
        except redis.RedisError as error:
            self._outage.note(error)
            return self._without_redis(profile, instance)
        self._outage.end()
        budget = refused.decode()
        if budget:
            self._exceeded(budget, used=int(of_instance if budget == INSTANCE else of_day), amount=amount)
        return Reservation(instance=instance, amount=amount, day=int(day))

    def _without_redis(self, profile: Profile, instance: ProcessInstanceId) -> Reservation:
        if self._limits[INSTANCE] == NO_LIMIT and self._limits[DAY] == NO_LIMIT:
            return Reservation(instance=instance)
        raise TransientError(
            f"Redis does not answer, so that nobody knows what is left to spend at {profile.name}",
            code=UNKNOWN,
            retry_in=WITHOUT_REDIS,
        )

    def _refuse_unknown(self, profile: Profile, model: str, estimate: Cost) -> None:
        if self._settings.unknown_price == "allow" or set(self._limits.values()) == {NO_LIMIT}:
            return
        prefix = profile.model_setting.removesuffix("MODEL")
        raise BusinessError(
            BUDGET_EXCEEDED,
            f"there is a budget, and the price of model {model!r} at {profile.place} is not known ({estimate.source}):"
            f" set {prefix}INPUT_PRICE and {prefix}OUTPUT_PRICE, or PROCOS_AI_UNKNOWN_PRICE=allow",
            variables={"budget": "unknown_price", "cost_so_far": None},
        )

    def _exceeded(self, budget: str, *, used: int, amount: int) -> NoReturn:
        raise BusinessError(
            BUDGET_EXCEEDED,
            f"the budget of {WORDS[budget]} is {_dollars(self._limits[budget])} (PROCOS_AI_BUDGET_{budget.upper()}),"
            f" {_dollars(used)} of it is used, and this request may cost {_dollars(amount)}",
            variables={"budget": budget, "cost_so_far": used / A_DOLLAR},
        )


@cache
def budgets(url: str, settings: AiSettings) -> Budgets:
    """Return this process's budgets."""
    return Budgets(url, settings)


def was_unpaid(error: BaseException) -> bool:
    """Whether a request that ended with this error, before any piece of an answer, has cost nothing."""
    if isinstance(error, BusinessError | PermanentError | TransientError):
        return error.code in UNPAID
    return isinstance(error, RateLimited)


def _limit(dollars: float | None) -> int:
    return NO_LIMIT if dollars is None else int(Decimal(str(dollars)) * A_DOLLAR)


def _micro_dollars(dollars: Decimal) -> int:
    return int((dollars * A_DOLLAR).to_integral_value(rounding=ROUND_CEILING))


def _dollars(micro_dollars: int) -> str:
    return f"${micro_dollars / A_DOLLAR:.6f}".rstrip("0").rstrip(".")
