"""Leaves a provider alone that fails again and again, for all workers at once, and finds out when it is back.

Five failures in a row open its breaker; an answer of any kind, a refusal too, ends the row. For 30 s nobody asks then.
After that one worker, for all, calls the provider's health check, which costs nothing: the breaker closes, or stays
open for another 30 s. While Redis is away every provider may be asked.

pybreaker counts, and keeps the state in Redis. Three things it does are not used, because several processes share that
state: it would let the next paid request be the trial, in every process that comes by; it measures the rest by the
clocks of the hosts; and a breaker object that notices what another process did sets the common count back to 0. So the
trial and the rest have keys of their own here, and a breaker object is made for each use.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, NoReturn

import pybreaker
import redis

from procos import ai_keys as keys
from procos.domain.errors import StepCancelled, TransientError
from procos.logs import get_logger
from tasks.ai.outage import Outage
from tasks.ai.providers.faults import NO_TIME, OUT_OF_TIME, TROUBLES
from tasks.store import client

if TYPE_CHECKING:
    from tasks.ai.provider import Provider

UNAVAILABLE = "PROVIDER_UNAVAILABLE"
FAILURES = 5
REST = timedelta(seconds=30)
TRIAL_MARGIN = timedelta(seconds=1)
"""How much longer than a health check may take the others wait for the one that does it."""

log = get_logger(__name__)


class Breakers:
    """The breakers of all providers; may be shared by threads."""

    def __init__(self, url: str, *, failures: int = FAILURES, rest: timedelta = REST) -> None:
        self._redis = client(url)
        self._failures, self._rest = failures, rest
        self._storages: dict[str, _Storage] = {}
        self._outage = Outage("breaker")

    def refuse_if_open(self, provider: Provider) -> None:
        """Return if the provider may be asked; if it has rested, find that out, for all workers.

        Raises:
            TransientError: PROVIDER_UNAVAILABLE; it is not asked before the moment the error names.
            StepCancelled: the step was cancelled while it found out.
        """
        try:
            wait = self._wait(provider.profile.name)
            if wait == timedelta(0):
                wait = self._trial(provider)
        except redis.RedisError as error:
            self._outage.note(error)
            return
        self._outage.end()
        if wait is not None:
            raise TransientError(
                f"{provider.profile.place} has failed {self._failures} times in a row and is left alone for a while",
                code=UNAVAILABLE,
                retry_in=wait,
            )

    def note(self, provider: Provider, error: BaseException | None) -> None:
        """Count how a request ended that was sent to the provider: with an answer, or with an error of any kind."""
        if isinstance(error, StepCancelled) or (
            isinstance(error, TransientError) and error.code in {NO_TIME, OUT_OF_TIME}
        ):
            return  # which says nothing of the provider
        name = provider.profile.name
        failure = error if isinstance(error, TransientError) and error.code in TROUBLES else None
        try:
            breaker = self._breaker(name)
            if breaker.current_state == pybreaker.STATE_CLOSED:
                self._count(breaker, name, failure)
        except redis.RedisError as outage:
            self._outage.note(outage)
        else:
            self._outage.end()

    def state(self, name: str) -> str:
        """Return closed, open, or half-open, which is where the next request tries; closed where nobody knows."""
        try:
            wait = self._wait(name)
        except redis.RedisError as error:
            self._outage.note(error)
            return pybreaker.STATE_CLOSED
        self._outage.end()
        if wait is None:
            return pybreaker.STATE_CLOSED
        return pybreaker.STATE_OPEN if wait else pybreaker.STATE_HALF_OPEN

    def _wait(self, name: str) -> timedelta | None:
        """Return how long the provider rests; None where its breaker is closed, nothing where the rest is over."""
        if self._storage(name).state == pybreaker.STATE_CLOSED:
            return None
        return _left(self._redis.pttl(keys.breaker_rest(name)))

    def _trial(self, provider: Provider) -> timedelta | None:
        """Call the health check unless another worker does; return how long the provider is to be left alone."""
        name, limit = provider.profile.name, provider.profile.health_timeout + TRIAL_MARGIN
        if not self._redis.set(keys.breaker_trial(name), 1, nx=True, px=limit):
            # Its key runs out by itself: who comes right after it must find the verdict, not the key.
            return _left(self._redis.pttl(keys.breaker_trial(name))) or TRIAL_MARGIN
        if self._storage(name).state == pybreaker.STATE_CLOSED:
            return None
        self._breaker(name).half_open()
        try:
            problem = provider.health()
        except StepCancelled:
            self._redis.delete(keys.breaker_trial(name))  # this says nothing of the provider: the next one tries
            raise
        except BaseException:
            self._conclude(name, "its health check failed")
            raise
        self._conclude(name, problem)
        return self._rest if problem else None

    def _conclude(self, name: str, problem: str) -> None:
        if problem:
            self._open(name)
            log.warning("ai.breaker_stays_open", provider=name, reason=problem)
        else:
            self._breaker(name).close()
            log.info("ai.breaker_closed", provider=name)

    def _count(self, breaker: pybreaker.CircuitBreaker, name: str, failure: TransientError | None) -> None:
        try:
            breaker.call(_ended, failure)
        except pybreaker.CircuitBreakerError:
            self._open(name)
            log.warning("ai.breaker_opened", provider=name, reason=str(failure))
        except TransientError:
            return  # counted, and not enough yet

    def _open(self, name: str) -> None:
        # The rest first: without it, what is open is tried at once.
        self._redis.set(keys.breaker_rest(name), 1, px=self._rest)
        self._breaker(name).open()

    def _breaker(self, name: str) -> pybreaker.CircuitBreaker:
        return pybreaker.CircuitBreaker(fail_max=self._failures, state_storage=self._storage(name), name=name)

    def _storage(self, name: str) -> _Storage:
        if name not in self._storages:
            self._storages[name] = _Storage(pybreaker.STATE_CLOSED, self._redis, namespace=keys.breaker(name))
        return self._storages[name]


class _Loud(logging.Logger):
    """Raises what it is to log."""

    def exception(self, *_: object, **__: object) -> NoReturn:
        raise  # noqa: PLE0704  # called where an error is being handled


class _Storage(pybreaker.CircuitRedisStorage):
    """pybreaker's storage, which would log each error of Redis and guess a state; here errors come through."""

    logger = _Loud("procos.breaker")


@cache
def breakers(url: str) -> Breakers:
    """Return this process's breakers."""
    return Breakers(url)


def _ended(failure: TransientError | None) -> None:
    if failure is not None:
        raise failure


def _left(milliseconds: object) -> timedelta:
    return timedelta(milliseconds=max(int(str(milliseconds)), 0))
