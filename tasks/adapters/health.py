"""How the services behind the connections are: each is asked by its adapter, side by side, none beyond a limit.

`procos doctor` looks anew, topic `health_monitoring` at what was found within the last half minute. A service that does
not answer is a finding, as is an adapter that breaks. A connection without a type is one a user's own task reads
by `context.connection`: nothing here knows how to ask its service, so its fields and secrets are all that is looked at.
"""

from __future__ import annotations

import threading
import time
import traceback
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from procos.domain.errors import ProcosError, RateLimited, TransientError
from procos.domain.redaction import Redaction
from tasks.adapters.known import adapter_of
from tasks.secrets.connections import fields_of, known_connections
from tasks.secrets.revealing import connected, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from procos.settings import Settings

LIMIT_SECONDS = 5.0
"""For one service; what has not said hello by then is of no use to a step either."""
MOST_AT_ONCE = 32
"""Threads; so many dead services cost one limit, not one each."""
MOST_SECONDS = 20.0
"""For all of them together."""
KEPT_SECONDS = 30.0
LONGEST_DETAIL = 300
HANGS = "an earlier look has not ended; where the connection was mended, restart this worker"


class State(StrEnum):
    """How a service was found."""

    WELL = "well"
    UNTYPED = "untyped"
    """No adapter knows it; its fields and secrets are there."""
    WRONG = "wrong"
    """An operator must mend the connection, or what it leads to."""
    AWAY = "away"
    """It does not answer now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at one connection found; free of secrets."""

    connection: str
    state: State
    detail: str
    type: str = ""
    seconds: float = 0.0

    @property
    def is_trouble(self) -> bool:
        """Whether a step that names it would fail."""
        return self.state in {State.WRONG, State.AWAY}


def looks(settings: Settings, *, limit: float = LIMIT_SECONDS, most: float = MOST_SECONDS) -> list[Look]:
    """Look at every connection there is.

    Args:
        settings: where the connections are.
        limit: seconds for one of them.
        most: seconds for all; those whose turn has not come by then count as away.
    """
    names = sorted(known_connections(settings))
    return list(_looked(names, settings, {}, limit=limit, until=time.monotonic() + most))


class RecentLooks:
    """Looks that are not older than half a minute; the others are made anew, but for those that have not ended."""

    def __init__(
        self, *, kept: float = KEPT_SECONDS, limit: float = LIMIT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept_seconds, self._limit, self._clock = kept, limit, clock
        self._known: dict[str, tuple[float, Look]] = {}
        self._begun: dict[str, Future[Look]] = {}

    def of(self, settings: Settings) -> list[Look]:
        """Return a look at every connection there is."""
        names, now = sorted(known_connections(settings)), self._clock()
        self._known = {name: known for name, known in self._known.items() if known[0] > now and name in names}
        wanted = [name for name in names if name not in self._known]
        self._begun = {name: future for name, future in self._begun.items() if not future.done()}
        until = time.monotonic() + MOST_SECONDS
        for look in _looked(wanted, settings, self._begun, limit=self._limit, until=until):
            self._known[look.connection] = (now + self._kept_seconds, look)
        return [self._known[name][1] for name in names]


def look_at(name: str, settings: Settings) -> Look:
    """Look at one connection, for as long as its adapter takes."""
    run, kind = Redaction(), ""
    began = time.monotonic()
    try:
        fields = fields_of(name, settings)
        if fields.get("type") is None:
            return _untyped(name, fields, settings)
        adapter = adapter_of(name, fields["type"])
        kind = adapter.name
        health = adapter(connected(name, adapter.connection, settings=settings, run=run)).health_check()
    except (TransientError, RateLimited) as error:
        state, detail = State.AWAY, str(error)
    except ProcosError as error:
        state, detail = State.WRONG, str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a library's must not hide how the other services are
        state, detail = State.WRONG, _broken(error)
    else:
        state, detail = State.WELL if health.is_well else State.WRONG, health.detail
    seconds = time.monotonic() - began
    return Look(connection=name, type=kind, state=state, detail=_cut(run.strike(detail)), seconds=seconds)


def troubles(found: Iterable[Look]) -> list[str]:
    """Return a line for each connection that a step would use in vain."""
    return [f"{look.connection}: {look.detail}" for look in found if look.is_trouble]


def _untyped(name: str, fields: Mapping[str, object], settings: Settings) -> Look:
    """Look at what a user's own task would be handed.

    Raises:
        PermanentError, TransientError: a secret cannot be had.
    """
    for field, value in fields.items():
        filled(name, field, value, settings=settings, run=Redaction())
    return Look(connection=name, state=State.UNTYPED, detail="no type: only its fields and secrets were looked at")


def _looked(
    names: list[str], settings: Settings, begun: dict[str, Future[Look]], *, limit: float, until: float
) -> Iterator[Look]:
    """Look at each, but where a look that was begun before has not ended: a client that hangs would hang again."""
    for name in (hanging := sorted(begun.keys() & set(names))):
        yield Look(connection=name, state=State.AWAY, detail=HANGS)
    left = [name for name in names if name not in hanging]
    for first in range(0, len(left), MOST_AT_ONCE):
        now = left[first : first + MOST_AT_ONCE]
        begun |= {name: _begun(name, settings) for name in now}
        deadline = min(time.monotonic() + limit, until)
        for name in now:
            yield _answer(name, begun[name], deadline, limit)


def _begun(name: str, settings: Settings) -> Future[Look]:
    future: Future[Look] = Future()

    def look() -> None:
        future.set_result(look_at(name, settings))

    # A daemon, since a client that hangs must not keep its process from ending.
    threading.Thread(target=look, name=f"look-{name}", daemon=True).start()
    return future


def _answer(name: str, future: Future[Look], deadline: float, limit: float) -> Look:
    try:
        return future.result(timeout=max(deadline - time.monotonic(), 0.0))
    except TimeoutError:
        return Look(connection=name, state=State.AWAY, detail=f"no answer within {limit:g} s", seconds=limit)


def _broken(error: BaseException) -> str:
    """Name an error its adapter does not know, and its place; its own words may hold anything."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"its adapter is broken: {type(error).__name__} in {frame.name} ({Path(frame.filename).name}:{frame.lineno})"


def _cut(detail: str) -> str:
    return detail if len(detail) <= LONGEST_DETAIL else detail[: LONGEST_DETAIL - 1] + "…"
