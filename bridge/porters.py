"""The threads that bring files to the blob store, so that a store which is slow, or hangs, holds up no queue.

Each dispatcher has some of its own. They start when there is something to bring, and end when nothing is left. A driver
that hangs keeps its thread until it returns, since none of them can be told to stop; so there are several, what waits
for them is limited, and none of them keeps the bridge from ending. A step that one of them hangs over is taken from it
when it is fetched again, and what that thread ends with is nobody's: another one, or another bridge, may fare better.
When all of them hang, steps go to other bridges, and the health server says so: a restart helps. What they have in hand
is not in the ledger yet: a bridge that dies leaves steps behind that are locked and unknown, which `Orphans` and
`Succession` look for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from procos import metrics
from procos.domain.errors import ProcosError
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import timedelta

    from bridge.heartbeats import Heartbeats
    from procos.domain.external_task import ExternalTask, ExternalTaskId, Topic

AT_ONCE = 4
"""Threads of a dispatcher: one file that hangs is not all of them, and each holds a piece of 64 KiB at a time."""
MOST_WAITING = 100
"""Steps that wait for a thread: as many as one fetch brings, since what it has brought is held in memory."""
PATIENCE_SECONDS = 1.0
"""How long one fetch may wait for room: a store that works makes some, and a poller must not outrun it."""

log = get_logger(__name__)


@dataclass(slots=True)
class _InHand:
    """A step that waits, or is on its way: since when, and since when a thread has it."""

    task: ExternalTask
    taken: float
    begun: float | None = None


class Porters:
    """Brings files of steps.

    `bring` does it for one, on a thread of its own, and dispatches the step. What it raises says what became of a step
    that has been given back, or is a defect of ours.
    """

    def __init__(
        self,
        bring: Callable[[ExternalTask], None],
        heartbeats: Heartbeats,
        *,
        name: str,
        within: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bring, self._heartbeats, self._name = bring, heartbeats, name
        self._within, self._clock = within, clock
        self._changed = threading.Condition()
        self._waiting: deque[_InHand] = deque()
        self._in_hand: dict[ExternalTaskId, _InHand] = {}
        """What waits, and what is on its way."""
        self._threads = 0
        self._is_ending = False

    def take(self, tasks: Iterable[ExternalTask]) -> list[ExternalTask]:
        """Take over steps, with a little patience where there is no room for all.

        Returns those there is none for. Where every thread hangs, that is all, with what has waited for them.
        """
        if self._hang():
            fetched = {task.id: task for task in tasks}
            return [*(task for task in self._give_up_waiting() if task.id not in fetched), *fetched.values()]
        until = time.monotonic() + PATIENCE_SECONDS
        return [task for task in tasks if not self._takes(task, until)]

    def has_in_hand(self, external_task_id: ExternalTaskId) -> bool:
        """Whether this step waits, or is on its way."""
        return external_task_id in self._in_hand

    def take_away(self, tasks: Iterable[ExternalTask]) -> frozenset[ExternalTaskId]:
        """Take steps that are fetched again from threads that hang over them; returns which."""
        latest = self._clock() - self._within.total_seconds()
        with self._changed:
            before = [each for task in tasks if (each := self._in_hand.get(task.id)) is not None]
            hung = frozenset(each.task.id for each in before if each.begun is not None and each.begun < latest)
            for external_task_id in hung:
                del self._in_hand[external_task_id]
            self._changed.notify_all()
        return hung

    def have(self, task: ExternalTask) -> bool:
        """Whether this fetch of a step is in hand still; a thread that has hung over it must ask."""
        in_hand = self._in_hand.get(task.id)
        return in_hand is not None and in_hand.task is task

    def count(self, topics: Collection[Topic]) -> int:
        """Count what is in hand of these topics; not what a store that hangs has held up for longer than its lock."""
        since = self._clock() - self._within.total_seconds()
        return sum(each.task.topic in topics and each.taken >= since for each in tuple(self._in_hand.values()))

    def end(self) -> list[ExternalTask]:
        """Take nothing from now on, and return what no thread has begun with; it is the caller's again."""
        self._is_ending = True
        return self._give_up_waiting()

    def join(self, seconds: float) -> bool:
        """Wait until nothing is in hand; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_hand, seconds)

    def _give_up_waiting(self) -> list[ExternalTask]:
        with self._changed:
            waiting = [each.task for each in self._waiting]
            self._waiting.clear()
            for task in waiting:
                del self._in_hand[task.id]
            self._changed.notify_all()
        return waiting

    def _takes(self, task: ExternalTask, until: float) -> bool:
        with self._changed:
            if task.id in self._in_hand:  # its lock ran out meanwhile, and this fetch has renewed it
                log.warning("file.still_on_its_way", external_task_id=task.id, topic=task.topic)
                metrics.dropped(task.topic, metrics.Drop.ADOPTED)
                return True
            has_room = self._changed.wait_for(self._has_room, max(until - time.monotonic(), 0.0))
            if self._is_ending or not has_room or not self._has_thread():
                return False
            self._in_hand[task.id] = _InHand(task, taken=self._clock())
            self._waiting.append(self._in_hand[task.id])
        return True

    def _has_thread(self) -> bool:
        """Start a thread if there may be one more; returns whether there is any. It waits until we let it look."""
        if self._threads < AT_ONCE:
            try:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            except RuntimeError as error:  # the machine has none left
                log.warning("porter.not_started", threads=self._threads, reason=str(error))
            else:
                self._threads += 1
                if self._threads == AT_ONCE:  # all have one name, so a sign of life of one is enough
                    self._heartbeats.expect(self._name, within=self._within)
        return self._threads > 0

    def _hang(self) -> bool:
        return self._name in self._heartbeats.late()

    def _has_room(self) -> bool:
        return len(self._waiting) < MOST_WAITING

    def _work(self) -> None:
        while task := self._next():
            try:
                self._bring(task)
            except ProcosError as error:  # the step has been given back
                log.warning("file.not_dispatched", external_task_id=task.id, topic=task.topic, reason=str(error))
            except Exception:  # whatever it is: the thread is there for the next step too
                log.exception("porter.failed", external_task_id=task.id, topic=task.topic)
            finally:
                with self._changed:
                    if self.have(task):
                        del self._in_hand[task.id]
                    self._changed.notify_all()

    def _next(self) -> ExternalTask | None:
        with self._changed:
            if not self._waiting:
                self._threads -= 1
                self._heartbeats.dismiss(self._name)
                return None
            self._heartbeats.beat(self._name)
            self._changed.notify_all()
            next_one = self._waiting.popleft()
            next_one.begun = self._clock()
            return next_one.task
