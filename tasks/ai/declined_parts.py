"""What providers decline of a request and an answer can do without: found out by one worker, left out by all.

An adapter asks and tells by its `Watch`. Redis remembers, for each provider and model, ten minutes long, so that a
server that takes more by then is sent more again. A process looks there once a minute for what it asks, and at
once after a provider has declined something. While Redis is away it goes by what it has seen itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import redis

from procos import ai_keys as keys
from procos.logs import get_logger
from tasks.ai.outage import Outage
from tasks.store import client

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED_SECONDS = 600
LOOK_SECONDS = 60.0
MOST_KNOWN = 256
"""Of how many models a process knows something: their names come from processes."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What this process knows of a model: for how long that holds, and when Redis may know better."""

    parts: frozenset[str]
    until: float
    look_at: float


class DeclinedParts:
    """The parts, by provider and model; may be shared by threads."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis, self._clock = client(url), clock
        self._outage = Outage("declined_parts")
        self._known: dict[tuple[str, str], _Known] = {}

    def of(self, provider: str, model: str) -> frozenset[str]:
        """Return what the provider is known to decline for a model; mostly without asking Redis."""
        now = self._clock()
        known = self._of_this_process(provider, model, now)
        if now < known.look_at:
            return known.parts
        try:
            found = self._redis.smembers(keys.declined(provider, model))
        except redis.RedisError as error:
            self._outage.note(error)
            self._keep(provider, model, replace(known, look_at=now + LOOK_SECONDS))
            return known.parts
        self._outage.end()
        return self._learn(provider, model, _texts(found))

    def note(self, provider: str, model: str, part: str) -> None:
        """Remember that the provider has declined a part, for all workers, and learn what others know."""
        log.info("ai.part_declined", provider=provider, model=model, part=part)
        key = keys.declined(provider, model)
        try:
            with self._redis.pipeline() as at_once:
                at_once.sadd(key, part)
                at_once.expire(key, REMEMBERED_SECONDS)
                at_once.smembers(key)
                *_, found = at_once.execute()
        except redis.RedisError as error:
            self._outage.note(error)
            known = self._of_this_process(provider, model, self._clock())
            self._learn(provider, model, known.parts | {part})
        else:
            self._outage.end()
            self._learn(provider, model, _texts(found))

    def _of_this_process(self, provider: str, model: str, now: float) -> _Known:
        known = self._known.get((provider, model)) or _Known(parts=frozenset(), until=now, look_at=now)
        return known if now < known.until else replace(known, parts=frozenset())

    def _learn(self, provider: str, model: str, parts: frozenset[str]) -> frozenset[str]:
        now = self._clock()
        self._keep(
            provider, model, _Known(parts=parts, until=now + REMEMBERED_SECONDS, look_at=now + LOOK_SECONDS)
        )  # fmt: skip
        return parts

    def _keep(self, provider: str, model: str, known: _Known) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[(provider, model)] = known


@cache
def declined_parts(url: str) -> DeclinedParts:
    """Return what this process knows."""
    return DeclinedParts(url)


def _texts(members: object) -> frozenset[str]:
    """Read a set as Redis hands it over; what is no text of ours is no part either."""
    return frozenset(bytes(member).decode(errors="replace") for member in members)  # type: ignore[attr-defined]
