"""Limits that never wait, and a Redis in which time goes by when a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos import ai_keys as keys
from procos.domain.errors import RateLimited
from procos.domain.external_task import ExternalTaskId
from tasks.ai.limits import SHARE, Limits
from tests.ai_samples import profile, shift

if TYPE_CHECKING:
    import redis

    from tasks.ai.limits import Admission
    from tasks.ai.provider import Profile

SLOW = profile(requests_per_minute=5)
"""A request every 12.5 s."""
SPACING = 60 / (5 * SHARE)
NAME = SLOW.name


class Lab:
    """What a test does to a provider's limits."""

    def __init__(self, store: redis.Redis, url: str) -> None:
        self.store, self._began, self._shifted = store, _now(store), 0.0
        self.waited = 0.0
        """Seconds that the last step would have waited before it was let in."""
        self.limits = Limits(url, wait=self._wait)

    def forget(self, step: str, asked: Profile = SLOW) -> None:
        self.limits.forget(asked, step=ExternalTaskId(step))

    def promised_in(self, step: str) -> float | None:
        """Return in how many seconds the slot is that only this step may take, if there is one."""
        moment = self.store.zscore(keys.reserved(NAME), step)
        return None if moment is None else moment / 1000 - _now(self.store)

    def admit(self, step: str, asked: Profile = SLOW, *, tokens: int = 1) -> Admission:
        self.waited = 0.0
        return self.limits.admit(asked, step=ExternalTaskId(step), tokens=tokens)

    def retry_in(self, step: str, asked: Profile = SLOW, *, tokens: int = 1) -> float:
        """Return the seconds after which the step is to come back."""
        with pytest.raises(RateLimited) as later:
            self.admit(step, asked, tokens=tokens)
        return later.value.retry_in.total_seconds()

    @property
    def passed(self) -> float:
        """Seconds since the beginning, those included that only a test has let pass."""
        return _now(self.store) - self._began + self._shifted

    def pass_time(self, seconds: float) -> None:
        shift(self.store, NAME, milliseconds=seconds * 1000)
        self._shifted += seconds

    def _wait(self, seconds: float) -> None:
        self.waited += seconds


def _now(store: redis.Redis) -> float:
    seconds, micro_seconds = store.time()
    return seconds + micro_seconds / 1e6
