"""Shows how far an answer is while it is being written, for `procos status --instance`.

Only numbers leave: who is asked, about how many tokens there are so far, and since when, by Redis's clock. They are
written at most once a second, vanish a minute after the last of them, and at the end. Redis being away stops nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import redis

from procos import ai_keys as keys
from procos.demand_scripts import NOW
from tasks.ai.outage import Outage
from tasks.ai.provider import Watch
from tasks.store import client

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import ExternalTaskId

WRITE_SECONDS = 1.0
RENEW_SECONDS = keys.PROGRESS_KEPT_SECONDS / 3
PATIENCE_SECONDS = 15.0
"""How long nothing is written after Redis has not answered: the answer that arrives meanwhile must not wait for it."""
CHARACTERS_A_TOKEN = 4

SHOW = (
    NOW
    + """
-- KEYS progress  ARGV provider, model, tokens, kept_s, is_new
if ARGV[5] == '1' or redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], 'since', now) end
redis.call('HSET', KEYS[1], 'provider', ARGV[1], 'model', ARGV[2], 'tokens', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
)

_outage = Outage("progress")


class Progress:
    """How far one request is; used by the thread that waits for it, as a context manager around the call."""

    def __init__(
        self,
        url: str,
        step: ExternalTaskId,
        *,
        provider: str,
        model: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis, self._key = client(url), keys.progress(step)
        self._show = self._redis.register_script(SHOW)
        self._provider, self._model, self._clock = provider, model, clock
        self._tokens, self._next, self._is_new = 0, clock(), True
        self.was_heard = False
        """Whether a piece of the answer has come, so that the request has cost something, however it ends."""

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._redis.delete(self._key)
        except redis.RedisError as error:
            _outage.note(error)

    def watch(self, is_cancelled: Callable[[], bool]) -> Watch:
        """Return what an adapter is handed: it tells of each piece, and while a model thinks, that it still does."""

        def looked() -> bool:
            if self._clock() >= self._next - WRITE_SECONDS + RENEW_SECONDS:
                self._write()
            return is_cancelled()

        return Watch(is_cancelled=looked, said=self.said)

    def said(self, piece: str) -> None:
        """Count a piece of the answer; one without text is a model's thinking."""
        self.was_heard = True
        if piece:
            self._tokens += max(len(piece) // CHARACTERS_A_TOKEN, 1)
        if self._clock() >= self._next:
            self._write()

    def _write(self) -> None:
        try:
            self._show(
                keys=[self._key],
                args=[self._provider, self._model, self._tokens, keys.PROGRESS_KEPT_SECONDS, int(self._is_new)],
            )
        except redis.RedisError as error:
            _outage.note(error)
            self._next = self._clock() + PATIENCE_SECONDS
        else:
            _outage.end()
            self._is_new = False
            self._next = self._clock() + WRITE_SECONDS
