"""Removes the ledger's entries of steps that have ended, many in one round trip, beside those who report.

The engine has the outcome by then, so nothing waits for this. While Redis is away they are kept, and what Redis has
done without answering is counted when it is back; where the bridge ends before, the watcher removes them when it finds
the steps gone. An incident is not for here: its step stays, and an entry left open would swallow its next try. The same
thread notes whose results are put aside, which nothing waits for either, and which comes again with the next try.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from procos import metrics
from procos.domain.errors import LedgerUnreachableError
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.ledger import Ledger
    from bridge.ledger_values import Ended
    from procos.domain.dispatch import DispatchRef

MOST_AT_ONCE = 100
GATHERING_SECONDS = 0.02
"""How long the first waits for others: a round trip for each costs as much CPU as the rest of its way."""
AGAIN_SECONDS = 1.0
LAST_SECONDS = 3.0
MOST_KEPT = 20_000
"""How many ends are kept for a Redis that is away, some 10 MB; the watcher removes the entries of the others."""

Waiting = TypeVar("Waiting")

log = get_logger(__name__)


def settle(ledger: Ledger, ends: Sequence[Ended]) -> None:
    """Remove the entries of steps that have ended, and count those that were open.

    Raises:
        LedgerUnreachableError: Redis does not answer; what was removed is known once the same ends are told it again.
    """
    for end, age in zip(ends, ledger.close_all(ends), strict=True):
        if age is not None:
            metrics.settled(end.ref.topic, end.outcome)
            metrics.ended_after(end.ref.topic, age)


class Settler:
    """A thread that settles what others hand it, in their order."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ended: deque[Ended] = deque(maxlen=MOST_KEPT)
        self._parked: deque[DispatchRef] = deque()
        self._lock, self._is_at_work = threading.Lock(), False
        self._is_ending, self._deadline = threading.Event(), math.inf
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="settler")

    def add(self, end: Ended) -> None:
        """Have a step settled soon; what is added meanwhile goes with it."""
        self._ended.append(end)
        self._begin()

    def note_parked(self, ref: DispatchRef) -> None:
        """Have it noted soon that the result of a dispatch is put aside."""
        self._parked.append(ref)
        self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._is_at_work:
                return
            self._is_at_work = True
        try:
            self._pool.submit(self._settle)
        except RuntimeError:  # it is shut down, and this report was under way
            self._settle()

    def shut_down(self) -> None:
        """Settle what there is, for some seconds at most, and end; where Redis does not answer, after one try."""
        self._deadline = time.monotonic() + LAST_SECONDS
        self._is_ending.set()
        self._pool.shutdown()

    def _settle(self) -> None:
        self._is_ending.wait(GATHERING_SECONDS)
        while True:
            ended, parked = self._next()
            if not ended and not parked:
                return
            try:
                if ended:
                    settle(self._ledger, ended)
                    ended = []  # they are counted
                if parked:
                    self._ledger.mark_parked(parked)
            except LedgerUnreachableError as error:
                log.warning("outcome.not_closed", count=len(ended), parked=len(parked), reason=str(error))
                self._try_again_later(ended)
            except Exception:  # whatever it is: the thread is there for the next batch too
                log.exception("settler.failed")

    def _try_again_later(self, ended: Sequence[Ended]) -> None:
        self._parked.clear()  # they come again with their results
        if self._is_ending.is_set():  # each try takes its time, and the watcher of another bridge does it too
            self._ended.clear()
        elif self._redis_answers():  # so it is what one of them says that it refuses
            self._settle_alone(ended)
        else:
            self._ended.extendleft(reversed(ended))
            self._is_ending.wait(AGAIN_SECONDS)

    def _redis_answers(self) -> bool:
        try:
            self._ledger.ping()
        except LedgerUnreachableError:
            return False
        return True

    def _settle_alone(self, ended: Sequence[Ended]) -> None:
        for end in ended:
            if time.monotonic() > self._deadline:
                return
            try:
                settle(self._ledger, [end])
            except LedgerUnreachableError as error:
                log.warning("outcome.not_closed", external_task_id=end.ref.external_task_id, reason=str(error))

    def _next(self) -> tuple[list[Ended], list[DispatchRef]]:
        with self._lock:
            if time.monotonic() > self._deadline:
                self._ended.clear()
                self._parked.clear()
            ended, parked = _some_of(self._ended), _some_of(self._parked)
            self._is_at_work = bool(ended or parked)
        return ended, parked


def _some_of(waiting: deque[Waiting]) -> list[Waiting]:
    return [waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(waiting)))]
