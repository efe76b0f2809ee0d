"""Calls a provider for one step, with everything that stands around a call: each part once, in one order.

    kept answer → breaker → budget → limits → the call → breaker, limits, budget again → answer kept

`tasks.ai.asking` hands it to the chain of providers. Adapters know nothing of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError, RateLimited, TaskError
from tasks.ai.breaker import breakers
from tasks.ai.budgets import budgets, was_unpaid
from tasks.ai.chain import Called, KeptRefusal
from tasks.ai.declined_parts import declined_parts
from tasks.ai.kept_answers import kept_answers, request_hash
from tasks.ai.limits import limits
from tasks.ai.prices import Cost, price_of
from tasks.ai.progress import Progress
from tasks.ai.providers.answers import as_offered
from tasks.ai.providers.lookout import checked
from tasks.ai.providers.registry import provider_of
from tasks.ai.tokens import estimate_question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tasks.ai.chain import Candidate
    from tasks.ai.conversation import Answer, Question
    from tasks.ai.limits import Admission, Limits
    from tasks.ai.provider import Profile, Provider
    from tasks.context import TaskContext

NOTHING = Cost(amount_usd=Decimal(0), source="not asked")


class _Turn:
    """The room one call has at its provider: for one request at a time, each admitted by itself."""

    def __init__(self, limits: Limits, admit: Callable[[], Admission]) -> None:
        self._limits, self._admit = limits, admit
        self._admission: Admission | None = admit()

    @property
    def is_on(self) -> bool:
        """False while the call has no room, since the last request has ended and no other was let in."""
        return self._admission is not None

    def ask_again(self) -> None:
        """End a request that was declined unread, and wait for room for another; errors as of `Limits.admit`."""
        self.end(used_tokens=0)
        self._admission = self._admit()

    def end(self, *, used_tokens: int | None) -> None:
        """Give back what there is to give back."""
        admission, self._admission = self._admission, None
        if admission is not None:
            self._limits.leave(admission, used_tokens=used_tokens)


class GuardedCall:
    """The calls of one step; used by one thread."""

    def __init__(self, context: TaskContext) -> None:
        url = context.settings.redis.url
        self._context, self._url = context, url
        self._step = context.external_task_id
        self._kept = kept_answers(url, kept_seconds=context.settings.ai.answers_kept)
        self._breakers, self._limits = breakers(url), limits(url)
        self._budgets = budgets(url, context.settings.ai)
        self._declined = declined_parts(url)

    def __call__(self, profile: Profile, question: Question) -> Called | KeptRefusal:
        """Return the answer to a question, the kept one where this step was given it before; a refusal is one too.

        Raises:
            TaskError: the provider may not be asked now, or what came of asking it.
            StepCancelled: nobody waits for the answer any more.
        """
        provider, request = provider_of(profile), request_hash(profile, question)
        kept = self._kept.find(self._step, request)
        if isinstance(kept, TaskError):
            return KeptRefusal(error=kept)
        if kept is not None:
            return Called(answer=kept, cost=Decimal(0), was_kept=True)
        with checked(self._context.raise_if_cancelled):
            self._breakers.refuse_if_open(provider)
        return self._paid(provider, question, request)

    def kept_among(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """Return the first whose answer this step was given before, whoever would be asked first today.

        A refusal is one, since it ended the step. A model that wrote nothing is none: another may have been asked then.
        """
        for candidate in candidates:
            kept = self._kept.find(self._step, request_hash(candidate.profile, candidate.question))
            if kept is not None and not isinstance(kept, PermanentError):
                return candidate
        return None

    def _paid(self, provider: Provider, question: Question, request: str) -> Called:
        """Count what the call may cost, make it, and correct the count to what it did cost."""
        profile, tokens = provider.profile, estimate_question(question, provider.estimate_tokens)
        worst = {"prompt_tokens": tokens, "completion_tokens": question.max_tokens}
        estimate = price_of(profile, question.model, worst)
        instance = self._context.process_instance_id
        reservation = self._budgets.reserve(profile, question.model, estimate, instance=instance)
        cost: Cost | None = NOTHING
        try:
            with self._admitted(profile, tokens + question.max_tokens) as turn:
                cost = None
                answer = self._asked(provider, question, request, turn)
                turn.end(used_tokens=answer.usage.get("total_tokens"))
                cost = price_of(profile, answer.model, answer.usage)
        except TaskError as error:
            if was_unpaid(error):
                cost = NOTHING
            raise
        finally:
            self._budgets.settle(reservation, cost)
        return Called(answer=answer, cost=cost.amount_usd, price_source=cost.source)

    @contextmanager
    def _admitted(self, profile: Profile, tokens: int) -> Iterator[_Turn]:
        """Wait for room at the provider, and give it back; tokens of which nobody tells count as planned."""
        is_cancelled = self._context.is_cancelled
        turn = _Turn(
            self._limits,
            partial(self._limits.admit, profile, step=self._step, tokens=tokens, is_cancelled=is_cancelled),
        )
        try:
            yield turn
        except RateLimited as error:
            if turn.is_on:  # else our own limits have said so, not the provider
                self._limits.note_refusal(profile, error.retry_in)
            raise
        finally:
            turn.end(used_tokens=None)

    def _noted(self, provider: str, model: str, turn: _Turn) -> Callable[[str], None]:
        def noted(part: str) -> None:
            self._declined.note(provider, model, part)  # first: a step that is postponed comes back knowing it
            turn.ask_again()

        return noted

    def _asked(self, provider: Provider, question: Question, request: str, turn: _Turn) -> Answer:
        ended: BaseException | None = None
        asked = provider.profile.name, question.model
        try:
            with Progress(self._url, self._step, provider=provider.profile.name, model=question.model) as progress:
                watch = progress.watch(self._context.is_cancelled)
                watch = replace(watch, declined=partial(self._declined.of, *asked), declines=self._noted(*asked, turn))
                answer = provider.complete(question, within=self._context.remaining(), watch=watch)
                answer = as_offered(answer, question)
                self._kept.keep(self._step, request, answer)  # before anything else may take time
                return answer
        except Exception as error:
            ended = error
            if isinstance(error, TaskError):  # some are answers too
                self._kept.keep(self._step, request, error)
            raise
        finally:
            self._breakers.note(provider, ended)
