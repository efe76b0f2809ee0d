"""Asks one provider after another until one answers: the fallback chain.

Another provider is asked only where that may help: the one before is away, in trouble, limited, or too small for the
question. A refusal, a filter, a wrong key, a spent budget end the chain, since they would be the same question asked
until somebody says what one wants to hear. All attempts share one deadline, which the caller's guard watches.
A step that was promised a moment by one that is limited gives it up where it does not come back for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TaskError, TransientError
from procos.logs import get_logger
from tasks.ai.budgets import was_unpaid
from tasks.ai.prices import is_free
from tasks.ai.reply import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.ai.conversation import Answer, Question
    from tasks.ai.provider import Profile

TOO_LONG = "CONTEXT_TOO_LONG"
ANSWERED, KEPT = "answered", "kept"
RATE_LIMITED = "RATE_LIMITED"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What one call gave; a kept answer was paid for by an earlier run of the step."""

    answer: Answer
    cost: Decimal | None = None
    was_kept: bool = False
    price_source: str = ""
    """Who says what it cost: the price table with its version, the settings, or `free`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRefusal:
    """What an earlier run of the step was refused with, and has paid for."""

    error: TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenAnswer:
    """What a call ended with that seems to cost nothing, but came when a part of the answer was there: that does."""

    error: TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider that may be asked, and what it would be asked."""

    profile: Profile
    question: Question


class Chain:
    """The attempts of one step; used by one thread."""

    def __init__(
        self,
        call: Callable[[Profile, Question], Called | KeptRefusal | BrokenAnswer],
        *,
        may_go_on: Callable[[], bool],
        forget: Callable[[Profile], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.attempts: list[Attempt] = []
        self._call, self._may_go_on, self._forget, self._clock = call, may_go_on, forget, clock

    def ask(self, candidates: Sequence[Candidate]) -> tuple[Candidate, Called]:
        """Return who answered, and what; what the step was promised elsewhere is given up.

        Raises:
            TaskError: nobody did; of several troubles, the one that is over soonest.
        """
        limited: list[tuple[RateLimited, Candidate]] = []
        waits_for: BaseException | None = None
        try:
            return self._first_answer(candidates, limited)
        except BaseException as error:
            waits_for = error
            raise
        finally:
            for told, candidate in limited:
                if told is not waits_for:
                    self._forget(candidate.profile)

    def _first_answer(
        self, candidates: Sequence[Candidate], limited: list[tuple[RateLimited, Candidate]]
    ) -> tuple[Candidate, Called]:
        """Ask them in turn, and note whom the step was told to come back to."""
        troubles: list[TaskError] = []
        left = list(candidates)
        while left:
            candidate = left.pop(0)
            try:
                return candidate, self._attempt(candidate)
            except (TransientError, RateLimited, BusinessError) as error:
                if isinstance(error, BusinessError) and error.code != TOO_LONG:
                    raise  # whoever it was, it has answered: no
                troubles.append(error)
                if isinstance(error, RateLimited):
                    limited.append((error, candidate))
                left = self._may_help(error, candidate, left)
            except PermanentError:
                if not troubles:
                    raise
                log.warning("ai.fallback_unusable", provider=candidate.profile.name)
        raise _soonest(troubles)

    def _attempt(self, candidate: Candidate) -> Called:
        began = self._clock()
        try:
            called = self._call(candidate.profile, candidate.question)
        except TaskError as error:
            self._note(candidate, code_of(error), began, cost=_cost_of_failure(error, candidate.profile))
            raise
        if isinstance(called, KeptRefusal):
            self._note(candidate, KEPT, began, cost=Decimal(0))
            raise called.error
        if isinstance(called, BrokenAnswer):
            cost = Decimal(0) if is_free(candidate.profile) else None
            self._note(candidate, code_of(called.error), began, cost=cost)
            raise called.error
        self._note(candidate, KEPT if called.was_kept else ANSWERED, began, called, cost=called.cost)
        return called

    def _may_help(self, error: TaskError, candidate: Candidate, left: list[Candidate]) -> list[Candidate]:
        if not self._may_go_on():
            return []
        if isinstance(error, TransientError | RateLimited):
            return left
        if code_of(error) == TOO_LONG:
            return [other for other in left if _is_larger(other.profile, candidate.profile)]
        return []

    def _note(
        self,
        candidate: Candidate,
        outcome: str,
        began: float,
        called: Called | None = None,
        *,
        cost: Decimal | None,
    ) -> None:
        usage: Mapping[str, int] = called.answer.usage if called else {}
        attempt = Attempt(
            provider=candidate.profile.name,
            model=called.answer.model if called else candidate.question.model,
            outcome=outcome,
            milliseconds=round((self._clock() - began) * 1000),
            usage=usage,
            cost=cost,
            price_source=called.price_source if called else "",
        )
        self.attempts.append(attempt)
        log.info("ai.attempt", provider=attempt.provider, model=attempt.model, outcome=outcome, usage=dict(usage))


def _cost_of_failure(error: TaskError, profile: Profile) -> Decimal | None:
    """Return nothing where no provider asks for money, None where it may."""
    return Decimal(0) if is_free(profile) or was_unpaid(error) else None


def code_of(error: TaskError) -> str:
    """Return the machine's word for an error."""
    match error:
        case RateLimited():
            return RATE_LIMITED
        case BusinessError() | TransientError() | PermanentError():
            return error.code
    return type(error).__name__


def _is_larger(other: Profile, than: Profile) -> bool:
    ours, theirs = than.capabilities.context_window, other.capabilities.context_window
    return ours is None or theirs is None or theirs > ours


def _soonest(troubles: Sequence[TaskError]) -> TaskError:
    """Of all troubles, the postponement that ends first, since it uses up no retry; else the first one.

    That a question was too long for one of them is said only where it was so for all that could answer.
    """
    limited = [error for error in troubles if isinstance(error, RateLimited)]
    if limited:
        return min(limited, key=lambda error: error.retry_in)
    return next((error for error in troubles if isinstance(error, TransientError)), troubles[0])
