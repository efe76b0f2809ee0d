"""What can happen to a call of the fake engine: it is noted, takes its time, is refused, or its answer is lost."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.errors import EngineUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.domain.errors import ProcosError
    from procos.testing.clock import FrozenClock

ADDRESS = "http://engine.test/engine-rest"
LIST = "report"
"""The call that brings many reports."""


class Calls:
    """The way to an engine in memory, and the faults on it; `calls` names every call that was made."""

    def __init__(self, clock: FrozenClock) -> None:
        self.clock = clock
        self.is_down = False
        self.latency = timedelta(0)
        """How far each call moves the clock on."""
        self.calls: list[str] = []
        self._refusals: deque[ProcosError | None] = deque()
        self._answers_to_lose = 0

    def refuse_next(self, *answers: ProcosError | None) -> None:
        """Raise these in the next calls, one each; None lets a call pass."""
        self._refusals.extend(answers)

    def lose_answer_of_next(self, calls: int = 1) -> None:
        """Let the next calls do what they do, but lose what is answered, as a dropped connection does."""
        self._answers_to_lose = calls

    def have_no_faults(self) -> None:
        """Let every call pass from now on."""
        self.is_down = False
        self.latency = timedelta(0)
        self._refusals.clear()
        self._answers_to_lose = 0

    def _refusal(self) -> ProcosError | None:
        """Return how the next call is to be refused; of a list it is each report that may be."""
        return self._refusals.popleft() if self._refusals else None

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        self.calls.append(name)
        self.clock.advance(seconds=self.latency.total_seconds())
        if self.is_down:
            raise EngineUnreachableError(ADDRESS, "connection refused")
        if name != LIST and (refusal := self._refusal()):
            raise refusal
        yield
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            raise EngineUnreachableError(ADDRESS, "the connection was closed before the answer came")
