"""Calls a provider for one step, with everything that stands around a call: each part once, in one order.

    kept answer → breaker → limits → budget → the call → breaker, limits, budget again → answer kept

`tasks.ai.asking` hands it to the chain of providers. Adapters know nothing of it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from procos.domain.errors import RateLimited, TransientError
from tasks.ai.breaker import breakers
from tasks.ai.budgets import Budgets, was_unpaid
from tasks.ai.chain import Called
from tasks.ai.kept_answers import kept_answers, request_hash
from tasks.ai.limits import limits
from tasks.ai.prices import Cost, price_of
from tasks.ai.progress import Progress
from tasks.ai.providers.registry import provider_of

if TYPE_CHECKING:
    from tasks.ai.budgets import Reservation
    from tasks.ai.conversation import Answer, Question
    from tasks.ai.provider import Profile, Provider
    from tasks.context import TaskContext

NOTHING = Cost(amount_usd=Decimal(0), source="not asked")


class GuardedCall:
    """The calls of one step; used by one thread."""

    def __init__(self, context: TaskContext) -> None:
        url = context.settings.redis.url
        self._context, self._url = context, url
        self._step = context.external_task_id
        self._kept = kept_answers(url, kept_seconds=context.settings.ai.answers_kept)
        self._breakers, self._limits = breakers(url), limits(url)
        self._budgets = Budgets(url, context.settings.ai)

    def __call__(self, profile: Profile, question: Question) -> Called:
        """Return the answer to a question, the kept one where this step was given it before.

        Raises:
            TaskError: the provider may not be asked now, or what came of asking it.
            StepCancelled: nobody waits for the answer any more.
        """
        provider, request = provider_of(profile), request_hash(profile, question)
        kept = self._kept.find(self._step, request)
        if kept is not None:
            return Called(answer=kept, cost=Decimal(0), was_kept=True)
        self._breakers.refuse_if_open(provider)
        called = self._admitted(provider, question)
        self._kept.keep(self._step, request, called.answer)
        return called

    def _admitted(self, provider: Provider, question: Question) -> Called:
        estimate = provider.estimate_tokens(question.text)
        admission = self._limits.admit(
            provider.profile,
            step=self._step,
            tokens=estimate + question.max_tokens,
            is_cancelled=self._context.is_cancelled,
        )
        used: int | None = 0
        try:
            reservation = self._reserved(provider.profile, question, estimate)
            used = None
            called = self._settled(provider, question, reservation)
            used = called.answer.usage.get("total_tokens")
        except RateLimited as error:
            self._limits.note_refusal(provider.profile, error.retry_in)
            raise
        finally:
            self._limits.leave(admission, used_tokens=used)
        return called

    def _reserved(self, profile: Profile, question: Question, estimate: int) -> Reservation:
        worst = {"prompt_tokens": estimate, "completion_tokens": question.max_tokens}
        return self._budgets.reserve(
            profile,
            question.model,
            price_of(profile, question.model, worst),
            instance=self._context.process_instance_id,
        )

    def _settled(self, provider: Provider, question: Question, reservation: Reservation) -> Called:
        cost: Cost | None = None
        try:
            answer = self._asked(provider, question)
            cost = price_of(provider.profile, answer.model, answer.usage)
        except Exception as error:
            cost = NOTHING if was_unpaid(error) else None
            raise
        finally:
            self._budgets.settle(reservation, cost)
        return Called(answer=answer, cost=cost.amount_usd)

    def _asked(self, provider: Provider, question: Question) -> Answer:
        within = self._context.remaining()
        if not within:
            raise TransientError("no time is left to ask the AI provider", code="NO_TIME")
        ended: BaseException | None = None
        try:
            with Progress(self._url, self._step, provider=provider.profile.name, model=question.model) as progress:
                watch = progress.watch(self._context.is_cancelled)
                return provider.complete(question, within=within, watch=watch)
        except Exception as error:
            ended = error
            raise
        finally:
            self._breakers.note(provider, ended)
