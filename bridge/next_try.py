"""What the engine is told of a try that did not end the step: why, how many are left, and when the next is due."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.outcome import Failure, Postponement
from procos.domain.retry import RetryPolicy, next_delay, policy_of, retries_left

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.ledger_values import Claimed
    from procos.domain.dispatch import DispatchRef
    from procos.routes import Route


KILLED = {"TimeLimitExceeded", "WorkerLostError", "Terminated", "RESULT_MISSING"}
"""Codes of failures that Celery tells, or nobody, in place of the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTry:
    """A try to be made later, or never: what /failure is told."""

    message: str
    details: str
    left: int
    delay: timedelta = timedelta(0)
    variables: Mapping[str, object] = field(default_factory=dict)


def next_try(
    ref: DispatchRef,
    outcome: Failure | Postponement,
    claimed: Claimed,
    *,
    policy: RetryPolicy,
    largest_age: timedelta,
    may_start_again: bool = True,
) -> NextTry:
    """Decide what follows a failed or postponed try; a postponement that would outlast `largest_age` is the last.

    Where a second start could do harm, a run that was killed, and so has said nothing itself, is not followed by one.
    """
    if isinstance(outcome, Postponement):
        return _postponed(ref, outcome, claimed, policy=policy, largest_age=largest_age)
    is_last = outcome.permanent or (outcome.code in KILLED and not may_start_again)
    left = 0 if is_last else retries_left(policy, ref.retries)
    if outcome.retries is not None:
        left = min(left, outcome.retries)  # never more: a model that always says the same would go on for ever
    jitter = random.random()  # noqa: S311  # jitter
    return NextTry(
        message=outcome.message,
        details=_details(outcome.details or outcome.message, ref, outcome.worker or claimed.worker),
        left=left,
        delay=next_delay(policy, left, advice=outcome.retry_in, jitter=jitter) if left else timedelta(0),
        variables=outcome.variables,
    )


def policy_for(ref: DispatchRef, route: Route | None) -> RetryPolicy:
    """Return the model's policy, else the route's, else the default."""
    return policy_of(ref.retry_config, route.retry if route else RetryPolicy())


def _postponed(
    ref: DispatchRef, outcome: Postponement, claimed: Claimed, *, policy: RetryPolicy, largest_age: timedelta
) -> NextTry:
    left = policy.attempts if ref.retries is None else ref.retries
    delay = next_delay(policy, left, advice=outcome.retry_in, jitter=0.0)
    reason = outcome.reason
    if claimed.age + delay > largest_age:
        reason = f"postponed for {_hours(claimed.age)}, at most {_hours(largest_age)} are allowed: {reason}"
        left, delay = 0, timedelta(0)
    return NextTry(message=reason, details=_details(reason, ref, claimed.worker), left=left, delay=delay)


def _details(text: str, ref: DispatchRef, worker: str) -> str:
    return f"{text}\n\nCelery task {ref.celery_id}, worker {worker or 'unknown'}"


def _hours(duration: timedelta) -> str:
    """Write a duration as 1:30:00, without the fraction of a second."""
    return str(timedelta(seconds=round(duration.total_seconds())))
