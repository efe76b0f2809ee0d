"""Asks: from what a topic wishes to an answer it can hand on. The course every AI topic takes.

    who may answer → what each would be asked → the chain of calls → the shape of the answer, repaired once

`tasks.ai.choosing` says who, `tasks.ai.guarded_call` calls, `tasks.ai.chain` goes on to the next,
`tasks.ai.structured` reads answers of a shape.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from procos.logs import get_logger
from tasks.ai.chain import Candidate, Chain
from tasks.ai.choosing import those_who_may_answer
from tasks.ai.conversation import Question
from tasks.ai.guarded_call import GuardedCall
from tasks.ai.providers.lookout import checked
from tasks.ai.providers.registry import profiles
from tasks.ai.redactors import redacted, redactor
from tasks.ai.reply import Reply
from tasks.ai.selection import AUTO
from tasks.ai.structured import read_structured, repair_question, unfit, with_schema_told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.settings import AiSettings
    from tasks.ai.chain import Called, KeptRefusal
    from tasks.ai.provider import Profile
    from tasks.ai.reply import Wish
    from tasks.context import TaskContext

TIME_FOR_ANOTHER = timedelta(seconds=1)
"""With less than that left nobody else is asked."""

log = get_logger(__name__)


class Caller(Protocol):
    """Who calls providers; tests have one of their own."""

    def __call__(self, profile: Profile, question: Question) -> Called | KeptRefusal:
        """Return the answer to a question, or the refusal that an earlier run of the step has got."""

    def kept_among(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """Return the first whose answer this step was given before."""


def ask(
    wish: Wish, context: TaskContext, *, call: Caller | None = None
) -> Reply:  # fmt: skip
    """Ask those who may answer, one after another, and return what came of it; `call` stands in for providers in tests.

    Raises:
        TaskError: nobody answered, or not in the shape that was asked for.
        StepCancelled: nobody waits for the answer any more.
    """
    began = time.monotonic()
    call = call or GuardedCall(context)
    chain = Chain(call, may_go_on=lambda: _time_is_left(context))
    paid = call.kept_among(_those_that_may_have_answered(wish, context))
    chosen, called = chain.ask([paid] if paid else _candidates(wish, context))
    value: Any = None
    if wish.json_schema is not None and not (wish.tools and called.answer.tool_calls):
        called, value = _of_that_shape(chain, chosen, called, wish.json_schema, context.settings.ai)
    reply = Reply(
        answer=called.answer,
        provider=chosen.profile.name,
        milliseconds=round((time.monotonic() - began) * 1000),
        attempts=tuple(chain.attempts),
        value=value,
    )
    log.info("ai.answered", provider=reply.provider, model=called.answer.model, milliseconds=reply.milliseconds)
    return reply


def _those_that_may_have_answered(wish: Wish, context: TaskContext) -> list[Candidate]:
    """Return whom an earlier run of the step may have asked: the choice of that run may not be that of today."""
    configured = profiles(context.settings)
    names = list(configured) if wish.provider == AUTO else [wish.provider, *context.settings.ai.fallback]
    models = dict.fromkeys([wish.model, None])
    return [
        _candidate(wish, configured[name], context, model=model)
        for name in names
        if name in configured
        for model in models
    ]


def _candidates(wish: Wish, context: TaskContext) -> list[Candidate]:
    """Return whom to ask, in order; a model that was named is one of the first provider's."""
    with checked(context.raise_if_cancelled):
        first, *others = those_who_may_answer(wish, context.settings)
    return [
        _candidate(wish, first, context, model=wish.model),
        *(_candidate(wish, other, context) for other in others),
    ]


def _time_is_left(context: TaskContext) -> bool:
    return context.remaining() > TIME_FOR_ANOTHER and not context.is_cancelled()


def _candidate(wish: Wish, profile: Profile, context: TaskContext, *, model: str | None = None) -> Candidate:
    """Return what a provider would be asked."""
    question = Question(
        messages=wish.messages,
        model=model or profile.model,
        max_tokens=wish.max_tokens,
        temperature=wish.temperature,
        stop=wish.stop,
        json_schema=wish.json_schema,
        tools=wish.tools,
        idempotency_key=context.idempotency_key,
    )
    if not profile.capabilities.json_schema:
        question = with_schema_told(question)
    return Candidate(profile=profile, question=redacted(question, redactor(context.settings.ai)))


def _of_that_shape(
    chain: Chain, chosen: Candidate, called: Called, schema: Mapping[str, Any], ai: AiSettings
) -> tuple[Called, Any]:
    """Read the answer; where it does not fit, have it corrected once, by the same provider.

    Raises:
        BusinessError: VALIDATION_FAILED, with everything that is wrong.
    """
    reading = read_structured(called.answer, schema)
    if reading.problems:
        log.info("ai.repaired", provider=chosen.profile.name, problems=len(reading.problems))
        again = repair_question(chosen.question, called.answer, reading.problems)
        _, called = chain.ask([replace(chosen, question=redacted(again, redactor(ai)))])
        reading = read_structured(called.answer, schema)
    if reading.problems:
        raise unfit(reading.problems)
    answer = replace(called.answer, was_cleaned=called.answer.was_cleaned or reading.was_cleaned)
    return replace(called, answer=answer), reading.value
