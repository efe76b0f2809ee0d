"""How long an answer may keep a worker waiting: until its first piece, between two pieces, and in all.

A server that keeps a connection warm with blanks or comments says nothing; only pieces of the answer count. The
adapters ask `check` whenever nothing has come for a moment, see `tasks.ai.providers.lookout`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from procos.domain.errors import StepCancelled, TransientError
from tasks.ai.providers.faults import NO_TIME, OUT_OF_TIME, STALLED, TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from tasks.ai.provider import Profile, Watch

LEAST_SECONDS = 0.001


class Patience:
    """The waiting of one request; used by one thread."""

    def __init__(
        self, profile: Profile, watch: Watch, *, within: timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to wait.

        Raises:
            TransientError: no time is left.
        """
        limit = min(profile.timeout, within).total_seconds()
        if limit <= 0:
            raise TransientError("no time is left to ask the AI provider", code=NO_TIME)
        self._code = TIMED_OUT if profile.timeout <= within else OUT_OF_TIME
        self._profile, self._watch, self._clock = profile, watch, clock
        self._deadline = clock() + limit
        self._next_piece: float | None = clock() + profile.first_token_timeout.total_seconds()
        self._is_first = True

    @property
    def left(self) -> float:
        """Seconds left in all, never less than a little."""
        return max(self._deadline - self._clock(), LEAST_SECONDS)

    def heard(self, text: str) -> None:
        """Note a piece of the answer, and hand it on to who watches."""
        self._is_first = False
        self._next_piece = self._clock() + self._profile.token_timeout.total_seconds()
        self._watch.said(text)

    def expects_the_whole(self) -> None:
        """Wait for an answer that comes in one piece: only the limit for all of it counts."""
        self._next_piece = None

    def asks_again(self) -> None:
        """Wait anew for the first piece: until now the question was declined, or waited for room."""
        self._next_piece = self._clock() + self._profile.first_token_timeout.total_seconds()

    def check(self) -> None:
        """Return if waiting still makes sense.

        Raises:
            StepCancelled: nobody waits for the answer any more.
            TransientError: the answer has stalled, or takes too long.
        """
        if self._watch.is_cancelled():
            raise StepCancelled("the step was cancelled")
        now = self._clock()
        if now > self._deadline:
            raise TransientError(f"{self._profile.place} did not finish its answer in time", code=self._code)
        if self._next_piece is not None and now > self._next_piece:
            raise TransientError(f"{self._profile.place} {self._stalled()}", code=STALLED)

    def _stalled(self) -> str:
        if self._is_first:
            return f"sent nothing of its answer for {self._profile.first_token_timeout.total_seconds():g} s"
        return f"stopped in mid-answer for {self._profile.token_timeout.total_seconds():g} s"
