"""What a provider takes: requests and tokens a minute, and requests at once, over all workers of all hosts.

`admit` lets a request go on at its slot, after a wait of at most a second. A slot that is further away is promised to
the step, which is postponed to that moment and let in when it comes back, once and without competing. What a step will
not come back for it gives up with `forget`. Where the last promised slot was missed, a step with a long wait before it
is told to come back sooner, to take the next one if that is missed too; its own stays promised. Schedules are at
96 % of a limit, because a step that comes back may be 2 s late: in no minute, however it is chosen, and in nothing
longer do more requests begin than the limit allows. Nothing is saved up while nobody asks: there is no burst.

A provider that has refused a request (429) is left alone by all workers until the moment it named. While Redis is away
nothing of this is known: a provider that costs nothing is asked all the same, any other is not.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import redis

from procos import ai_keys as keys
from procos.domain.errors import RateLimited, StepCancelled, TransientError
from procos.logs import get_logger
from tasks.ai.limit_scripts import ADMIT, FORGET, HEADROOM, LATER, LEAVE, LET_IN, REFUSED
from tasks.ai.outage import Outage
from tasks.ai.places import PLACE_MILLISECONDS, places
from tasks.ai.prices import is_free
from tasks.store import client

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import ExternalTaskId
    from tasks.ai.provider import Profile

SHARE = 0.96
PATIENCE_SECONDS, LOOK_SECONDS = 1.0, 0.2
LOOKS = round(PATIENCE_SECONDS / LOOK_SECONDS)
MILLISECONDS_A_MINUTE = 60_000
UNKNOWN = "LIMITS_UNKNOWN"
WITHOUT_REDIS = timedelta(seconds=30)
"""When a step is tried again that could not ask Redis: three attempts outlast a minute without it."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A request that may be sent now; `tokens` is what was planned for it, `since` a moment of the monotonic clock."""

    profile: Profile
    holder: str
    tokens: int
    since: float
    is_noted: bool = True
    """False where Redis was away, so that nothing is to be given back."""


class Limits:
    """Lets requests through as fast as their providers take them; may be shared by threads."""

    def __init__(
        self,
        url: str,
        *,
        wait: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        store = client(url)
        self._ask, self._give_back = store.register_script(ADMIT), store.register_script(LEAVE)
        self._look, self._refuse = store.register_script(HEADROOM), store.register_script(REFUSED)
        self._forget = store.register_script(FORGET)
        self._url, self._outage = url, Outage("limits")
        self._wait, self._clock = wait or threading.Event().wait, clock

    def admit(
        self,
        profile: Profile,
        *,
        step: ExternalTaskId,
        tokens: int,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Admission:
        """Wait for room, at most a second; `tokens` is what question and answer may amount to. Then call `leave`.

        Raises:
            RateLimited: there is room later; it is reserved for this step, and the error names the moment, or an
                earlier one at which there may be some.
            TransientError: Redis is away, and the provider may cost something.
            StepCancelled: the step was cancelled while it waited.
        """
        holder = f"{step}/{uuid.uuid4().hex}"
        try:
            seconds = self._slot(profile, step, holder, tokens, is_cancelled)
        except redis.RedisError as error:
            self._outage.note(error)
            _refuse_what_costs(profile)
            return Admission(profile=profile, holder=holder, tokens=tokens, since=self._clock(), is_noted=False)
        self._outage.end()
        if profile.at_once:
            places(self._url).add(keys.places(profile.name), holder)
        try:
            self._pause(seconds, is_cancelled)
        except StepCancelled:
            self._release(profile, holder, unused=tokens, call_ms=-1)
            raise
        return Admission(profile=profile, holder=holder, tokens=tokens, since=self._clock())

    def leave(self, admission: Admission, *, used_tokens: int | None) -> None:
        """Free the place of a request that has ended, and correct what it was thought to use; None: as was thought."""
        if not admission.is_noted:
            return
        unused = _unused(admission, used_tokens)
        call_ms = round((self._clock() - admission.since) * 1000) if admission.profile.at_once else -1
        self._release(admission.profile, admission.holder, unused=unused, call_ms=call_ms)

    def forget(self, profile: Profile, *, step: ExternalTaskId) -> None:
        """Give up what the step was promised at a provider: it does not come back for it."""
        try:
            self._forget(keys=_keys(profile), args=[step, profile.at_once or 0])
        except redis.RedisError as error:
            self._outage.note(error)  # the promise runs out by itself

    def headroom(self, profile: Profile) -> float:
        """Return 1 for a provider nobody uses, 0 for one that would postpone the next request; one round trip."""
        counted = [name for name, each in _takes(profile, tokens=1).items() if each]
        try:
            wait, taken = self._look(
                keys=[of(profile.name) for of in (keys.schedule, keys.places, keys.refused, keys.vacant)], args=counted
            )
        except redis.RedisError as error:
            self._outage.note(error)
            return 1.0 if is_free(profile) else 0.0
        self._outage.end()
        free = 1 - int(taken) / profile.at_once if profile.at_once else 1.0
        return max(min(1 - int(wait) / 1000 / PATIENCE_SECONDS, free), 0.0)

    def note_refusal(self, profile: Profile, retry_in: timedelta) -> None:
        """Let no worker ask this provider before `retry_in` is over: it has said that it gets too many requests."""
        milliseconds = round(retry_in.total_seconds() * 1000)
        if milliseconds <= 0:
            return
        try:
            self._refuse(keys=[keys.refused(profile.name)], args=[milliseconds])
        except redis.RedisError as error:
            self._outage.note(error)

    def _slot(
        self, profile: Profile, step: ExternalTaskId, holder: str, tokens: int, is_cancelled: Callable[[], bool]
    ) -> float:
        """Return in how many seconds the request may be sent; where every place is taken, look again a few times."""
        for looks_left in reversed(range(LOOKS)):
            verdict, wait = self._asked(profile, step, holder, tokens, looks_left)
            if verdict == LET_IN:
                return wait
            if verdict == LATER:
                raise RateLimited(
                    f"the limits of {profile.name} are used up: there is room for this step in {wait:.1f} s",
                    retry_in=timedelta(seconds=wait),
                )
            self._pause(LOOK_SECONDS, is_cancelled)
        raise AssertionError("who looks for the last time is let in, or told when to come back")

    def _asked(
        self, profile: Profile, step: ExternalTaskId, holder: str, tokens: int, looks_left: int
    ) -> tuple[int, float]:
        takes = _takes(profile, tokens=tokens)
        verdict, wait = self._ask(
            keys=_keys(profile),
            args=[
                step,
                holder,
                takes["requests"],
                takes["tokens"],
                profile.at_once or 0,
                round((looks_left + 1) * LOOK_SECONDS * 1000),
                PLACE_MILLISECONDS,
                int(looks_left == 0),
            ],
        )
        return int(verdict), int(wait) / 1000

    def _pause(self, seconds: float, is_cancelled: Callable[[], bool]) -> None:
        while True:
            if is_cancelled():
                raise StepCancelled("the step was cancelled")
            if seconds <= 0:
                return
            self._wait(min(seconds, LOOK_SECONDS))
            seconds -= LOOK_SECONDS

    def _release(self, profile: Profile, holder: str, *, unused: int, call_ms: int) -> None:
        places(self._url).remove(keys.places(profile.name), holder)
        unused_ms = unused * _takes(profile, tokens=1)["tokens"]
        try:
            self._give_back(
                keys=[keys.schedule(profile.name), keys.places(profile.name)], args=[holder, unused_ms, call_ms]
            )
        except redis.RedisError as error:
            self._outage.note(error)  # the place runs out by itself


@cache
def limits(url: str) -> Limits:
    """Return this process's limits."""
    return Limits(url)


def _keys(profile: Profile) -> list[str]:
    """Return the keys of what is promised, in the order of the scripts."""
    return [
        of(profile.name)
        for of in (
            keys.schedule,
            keys.reserved,
            keys.weights,
            keys.kept_places,
            keys.places,
            keys.refused,
            keys.vacant,
            keys.standing_by,
        )
    ]


def _unused(admission: Admission, used_tokens: int | None) -> int:
    """Return how many tokens fewer than planned a request has used; more, at most by what a minute allows.

    A server may say any number, and what one says must not shut its provider for everybody. A negative one is none.
    """
    if used_tokens is None or used_tokens < 0:
        return 0
    unused, most = admission.tokens - used_tokens, admission.profile.tokens_per_minute
    if most is None or unused >= -most:
        return unused
    log.warning(
        "ai.usage_not_believed", provider=admission.profile.name, tokens=used_tokens, counted=admission.tokens + most
    )
    return -most


def _takes(profile: Profile, *, tokens: int) -> dict[str, float]:
    """Return how many milliseconds a request takes of each schedule, 0 where the provider has no such limit."""
    return {
        "requests": _each(profile.requests_per_minute),
        "tokens": tokens * _each(profile.tokens_per_minute),
    }


def _each(per_minute: int | None) -> float:
    return MILLISECONDS_A_MINUTE / (per_minute * SHARE) if per_minute else 0.0


def _refuse_what_costs(profile: Profile) -> None:
    if not is_free(profile):
        raise TransientError(
            f"Redis does not answer, so that nobody knows whether {profile.name} may be asked",
            code=UNKNOWN,
            retry_in=WITHOUT_REDIS,
        )
