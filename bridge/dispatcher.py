"""From a fetched batch to dispatches, which `Delivery` brings to the broker: one batch of a queue after the other.

What cannot be dispatched at all (unknown topic, unreadable variable) is an incident at once. What has waited for its
turn for half of its lock, while the broker was away, is given back. Steps with files come a little later, on threads of
their own.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from bridge.delivery import Delivery
from bridge.fetched import dispatch_of
from bridge.heartbeats import Heartbeats
from bridge.incoming_files import IncomingFiles
from bridge.model_constants import NO_CONSTANTS, put_off_unread
from bridge.porters import Porters
from bridge.publisher import Publication
from bridge.reserving import adopted
from bridge.undispatched import refuse, unlock
from procos import metrics
from procos.domain.errors import (
    EngineError,
    LedgerUnreachableError,
    ModelError,
    PublishRefusedError,
    UnknownTopicError,
    UnreachableError,
    VariableError,
)
from procos.domain.variables import LARGEST_TOGETHER
from procos.logs import get_logger
from procos.settings import BlobSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from bridge.ledger import Ledger
    from bridge.model_constants import ModelConstants
    from bridge.publisher import Publisher
    from procos.domain.external_task import ExternalTask, ExternalTaskId, Topic
    from procos.engine.protocol import Engine
    from procos.routes import Route

BEAT_SECONDS = 1.0
LARGEST_SHARE = 0.5  # of its lock that an external task may wait for its turn
NO_BLOBS = BlobSettings()
NO_PORTER = "no thread is free for them: the store is slow, or hangs"
HUNG = "a thread has hung over them for a whole lock; restarting the bridge frees it"

log = get_logger(__name__)


class Dispatcher:
    """Dispatches what was fetched for one queue; calls from several threads take turns."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        publisher: Publisher,
        routes: Mapping[Topic, Route],
        *,
        queue: str,
        lease: timedelta,
        largest_input: int = LARGEST_TOGETHER,
        constants: ModelConstants = NO_CONSTANTS,
        blobs: BlobSettings = NO_BLOBS,
        stop: threading.Event,
        beat: Callable[[], None] = lambda: None,
        heartbeats: Heartbeats | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._ledger, self._publisher = engine, ledger, publisher
        self._routes, self._queue, self._lease = routes, queue, lease
        self._delivery = Delivery(engine, ledger, publisher, queue=queue, lease=lease, stop=stop, beat=beat)
        self._largest_input, self._constants = largest_input, constants
        self._stop, self._beat, self._clock = stop, beat, clock
        self._files = IncomingFiles(engine, blobs, lease=lease, stop=stop, beat=beat, clock=clock)
        watch = heartbeats or Heartbeats(clock=clock)
        self._porters = Porters(self._bring, watch, name=f"files-{queue}", within=lease, clock=clock)
        self._refusal: PublishRefusedError | None = None  # of a step with files, for whoever fetches next
        self._locks = {topic: route.lock_duration or lease for topic, route in routes.items()}
        self._turn = threading.Lock()
        self._in_hand: list[frozenset[ExternalTaskId]] = []  # of each thread, those included that wait for their turn

    def dispatch(self, fetched: Sequence[ExternalTask]) -> None:
        """Bring every fetched external task to the broker, to the engine as an incident, or back.

        Raises:
            LedgerUnreachableError: all that is not known to be with the broker is unlocked.
            PublishRefusedError: the broker has no place; what it refused is unlocked.
        """
        fetched_at, batch = self._clock(), frozenset(task.id for task in fetched)
        for task in fetched:
            metrics.fetched(task.topic)
        self._in_hand.append(batch)
        try:
            with self._my_turn():
                plain, bearing = self._divided(self._fresh(fetched, self._clock() - fetched_at))
                try:
                    self._dispatch_now(plain)
                    hung = self._porters.take_away(bearing)
                    bearing = self._not_adopted(bearing)
                except BaseException:
                    self._give_up(bearing)
                    raise
            self._have_brought(bearing, hung)
        finally:
            self._in_hand.remove(batch)

    def ready(self) -> None:
        """Make sure that what is fetched now can be published.

        Raises:
            BrokerUnreachableError: it cannot.
            PublishRefusedError: a step with files was refused since the last call.
        """
        with self._my_turn():
            refusal, self._refusal = self._refusal, None
            if refusal is not None:
                raise refusal
            self._publisher.ready()

    def has_in_hand(self, external_task_id: ExternalTaskId) -> bool:
        """Whether this external task is on its way to the broker right now, or its files to the store."""
        batches = tuple(self._in_hand)
        return self._porters.has_in_hand(external_task_id) or any(external_task_id in batch for batch in batches)

    def bringing(self, topics: Collection[Topic]) -> int:
        """Count the steps of these topics whose files are on their way: the ledger does not know of them yet."""
        return self._porters.count(topics)

    def await_files(self, seconds: float, *, ending: bool = False) -> bool:
        """Wait for files that are on their way; returns whether all are there. Ending, give back what waits for its."""
        if ending:
            self._give_up(self._porters.end())
        return self._porters.join(seconds)

    def _have_brought(self, tasks: Sequence[ExternalTask], hung: Collection[ExternalTaskId]) -> None:
        """Hand steps to the porters; those they do not take, or hang over, are put off."""
        left = [task for task in tasks if task.id in hung]
        left += self._porters.take(task for task in tasks if task.id not in hung)
        if self._stop.is_set():
            self._give_up(left)
            return
        for task in left:
            self._files.put_off(task, self._routes[task.topic], HUNG if task.id in hung else NO_PORTER)

    def _divided(self, fetched: Sequence[ExternalTask]) -> tuple[list[ExternalTask], list[ExternalTask]]:
        """Divide a fetch into what is dispatched at once, and steps whose files are to be brought first."""
        divided: tuple[list[ExternalTask], list[ExternalTask]] = ([], [])
        for task in fetched:
            divided[task.topic in self._routes and self._files.are_in(task)].append(task)
        return divided

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        while not self._turn.acquire(timeout=BEAT_SECONDS):
            self._beat()
        try:
            yield
        finally:
            self._turn.release()

    def _dispatch_now(self, tasks: Iterable[ExternalTask]) -> None:
        self._delivery.deliver([p for task in tasks if (p := self._prepared(task))])

    def _bring(self, task: ExternalTask) -> None:
        """Bring the files of a step to the store, and dispatch it; on a thread of the porters.

        Reserved before its files are there, it would count as in flight while a store hangs.
        """
        route, is_ours = self._routes[task.topic], partial(self._porters.have, task)
        if (brought := self._files.brought(task, route, is_ours)) is None:
            return
        kept_at = self._clock()  # its lock was renewed then, and the turn may be another's for long
        with self._my_turn():
            if not is_ours():
                return
            try:
                self._dispatch_now(self._fresh([brought], self._clock() - kept_at))
            except PublishRefusedError as error:
                self._refusal = error
                raise

    def _give_up(self, tasks: Sequence[ExternalTask]) -> None:
        for task in tasks:
            metrics.dropped(task.topic, metrics.Drop.GIVEN_BACK)
        unlock(self._engine, [task.id for task in tasks], beat=self._beat)

    def _fresh(self, fetched: Sequence[ExternalTask], waited: float) -> list[ExternalTask]:
        """Return what has most of its lock left, and give back the rest; what has run out may be another's by now."""
        shares = [(task, waited / self._locks.get(task.topic, self._lease).total_seconds()) for task in fetched]
        if stale := [(task, share) for task, share in shares if share > LARGEST_SHARE]:
            log.warning("dispatcher.waited_too_long", count=len(stale), seconds=round(waited), queue=self._queue)
        for task, _ in stale:
            metrics.dropped(task.topic, metrics.Drop.GIVEN_BACK)
        unlock(self._engine, [task.id for task, share in stale if share < 1], beat=self._beat)
        return [task for task, share in shares if share <= LARGEST_SHARE]

    def _prepared(self, task: ExternalTask) -> Publication | None:
        try:
            route = self._route(task.topic)
            dispatch = dispatch_of(task, route, largest=self._largest_input)
            named = self._constants.named(dispatch, task)
        except UnknownTopicError as error:
            refuse(self._engine, task, error)
        except (VariableError, ModelError) as error:
            if not self._is_adopted(task):
                refuse(self._engine, task, error)
        except (EngineError, UnreachableError) as error:
            if not self._is_adopted(task):
                put_off_unread(self._engine, task, route, error)
        else:
            return Publication(dispatch=named, route=route)
        self._beat()
        return None

    def _is_adopted(self, task: ExternalTask) -> bool:
        """Whether a dispatch of it is under way; while that is not known, it is offered again."""
        try:
            return not self._not_adopted([task])
        except LedgerUnreachableError:
            metrics.dropped(task.topic, metrics.Drop.UNRESERVED)
            unlock(self._engine, [task.id], beat=self._beat)
            return True

    def _not_adopted(self, tasks: Sequence[ExternalTask]) -> list[ExternalTask]:
        """Take over steps that are under way already, whatever has become of their files and models; returns the rest.

        Failing one at the engine would have it run twice: the next fetch would be of another try.
        """
        taken = adopted(self._ledger, tasks, self._queue, [self._locks[task.topic] for task in tasks])
        return [task for task in tasks if task.id not in taken]

    def _route(self, topic: Topic) -> Route:
        try:
            return self._routes[topic]
        except KeyError:
            raise UnknownTopicError(topic, [str(known) for known in self._routes]) from None
