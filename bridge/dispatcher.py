"""From a fetched batch to messages on RabbitMQ: reserve in the ledger, publish, and give back what was refused.

What the broker may or may not have is published again under the same Celery id until it is known; what cannot be
dispatched at all (unknown topic, unreadable variable) is an incident at once. What has waited for its turn for half of
its lock, while the broker was away, is given back.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.fetched import dispatch_of
from bridge.incoming_files import IncomingFiles
from bridge.ledger_values import Reservation
from bridge.model_constants import NO_CONSTANTS
from bridge.publisher import Publication, Receipt
from bridge.undispatched import refuse
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
from procos.ledger_keys import State
from procos.logs import get_logger
from procos.settings import BlobSettings

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from bridge.ledger import Ledger
    from bridge.ledger_values import Reserved
    from bridge.model_constants import ModelConstants
    from bridge.publisher import Publisher
    from procos.domain.external_task import ExternalTask, ExternalTaskId, Topic
    from procos.engine.protocol import Engine
    from procos.routes import Route

REPUBLISH_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
BEAT_SECONDS = 1.0
LARGEST_SHARE = 0.5  # of its lock that an external task may wait for its turn
NO_BLOBS = BlobSettings()

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._ledger, self._publisher = engine, ledger, publisher
        self._routes, self._queue, self._lease = routes, queue, lease
        self._largest_input, self._constants = largest_input, constants
        self._stop, self._beat, self._clock = stop, beat, clock
        self._files = IncomingFiles(engine, blobs, lease=lease, stop=stop, beat=beat, clock=clock)
        self._locks = {topic: route.lock_duration or lease for topic, route in routes.items()}
        self._turn = threading.Lock()
        self._in_hand: list[frozenset[ExternalTaskId]] = []
        """What each thread is at, those that wait for their turn included."""
        self._doubtful: set[ExternalTaskId] = set()
        """Those of this turn that an earlier publication may have brought to the broker."""

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
            while not self._turn.acquire(timeout=BEAT_SECONDS):
                self._beat()
            try:
                self._doubtful.clear()
                self._dispatch_each(self._files.in_order(self._fresh(fetched, self._clock() - fetched_at)))
            finally:
                self._turn.release()
        finally:
            self._in_hand.remove(batch)

    def ready(self) -> None:
        """Make sure that what is fetched now can be published.

        Raises:
            BrokerUnreachableError: it cannot.
        """
        while not self._turn.acquire(timeout=BEAT_SECONDS):
            self._beat()
        try:
            self._publisher.ready()
        finally:
            self._turn.release()

    def has_in_hand(self, external_task_id: ExternalTaskId) -> bool:
        """Whether this external task is on its way to the broker right now."""
        return any(external_task_id in batch for batch in tuple(self._in_hand))

    def _dispatch_each(self, parts: deque[Sequence[ExternalTask]]) -> None:
        try:
            while parts:
                self._publish(self._reserved([p for task in parts.popleft() if (p := self._prepared(task))]))
        finally:
            left = [task for part in parts for task in part]
            for task in left:
                metrics.dropped(task.topic, metrics.Drop.GIVEN_BACK)
            self._unlock(task.id for task in left)

    def _fresh(self, fetched: Sequence[ExternalTask], waited: float) -> list[ExternalTask]:
        """Return what has most of its lock left, and give back the rest; what has run out may be another's by now."""
        shares = [(task, waited / self._locks.get(task.topic, self._lease).total_seconds()) for task in fetched]
        if stale := [(task, share) for task, share in shares if share > LARGEST_SHARE]:
            log.warning("dispatcher.waited_too_long", count=len(stale), seconds=round(waited), queue=self._queue)
        for task, _ in stale:
            metrics.dropped(task.topic, metrics.Drop.GIVEN_BACK)
        self._unlock(task.id for task, share in stale if share < 1)
        return [task for task, share in shares if share <= LARGEST_SHARE]

    def _prepared(self, task: ExternalTask) -> Publication | None:
        try:
            route = self._route(task.topic)
            task = self._files.kept(task, route)
            dispatch = dispatch_of(task, route, largest=self._largest_input)
        except (UnknownTopicError, VariableError, ModelError) as error:
            self._beat()
            refuse(self._engine, task, error)
        except (EngineError, UnreachableError) as error:  # of its files; the next step may have none
            self._files.put_off(task, route, error)
        else:
            if named := self._constants.named(dispatch, task, route, self._engine):
                return Publication(dispatch=named, route=route)
            self._beat()
        return None

    def _route(self, topic: Topic) -> Route:
        try:
            return self._routes[topic]
        except KeyError:
            raise UnknownTopicError(topic, [str(known) for known in self._routes]) from None

    def _reserved(self, publications: Sequence[Publication]) -> list[Publication]:
        """Reserve the entries; returns what is to be published, under the tokens that count."""
        if not publications:
            return []
        refs = [p.dispatch.ref for p in publications]
        try:
            reserved = self._ledger.reserve(
                refs, self._queue, [p.route.lock_duration or self._lease for p in publications]
            )
        except LedgerUnreachableError:
            for ref in refs:
                metrics.dropped(ref.topic, metrics.Drop.UNRESERVED)
            self._unlock(ref.external_task_id for ref in refs)
            raise
        chosen, without_place = [], []
        for publication, answer in zip(publications, reserved, strict=True):
            ref = replace(publication.dispatch.ref, token=answer.token)
            _count(ref.topic, answer)
            if answer.reservation is Reservation.ADOPTED:
                log.info("external_task.adopted", external_task_id=ref.external_task_id, celery_id=ref.celery_id)
                continue
            if answer.reservation is Reservation.ENDED:
                log.info("external_task.ended_meanwhile", external_task_id=ref.external_task_id)
                continue
            if answer.reservation is Reservation.FULL:  # another bridge, or a retry, has taken the place meanwhile
                without_place.append(ref.external_task_id)
                continue
            if answer.reservation is Reservation.REPUBLISH:
                self._doubtful.add(ref.external_task_id)
            chosen.append(replace(publication, dispatch=replace(publication.dispatch, ref=ref)))
        self._unlock(without_place)
        return chosen

    def _publish(self, publications: Sequence[Publication]) -> None:
        waits = iter(REPUBLISH_SECONDS)
        refused: list[Publication] = []
        while publications:
            by_receipt = self._sent(publications)
            refused += by_receipt[Receipt.REFUSED]
            publications = by_receipt[Receipt.UNKNOWN]
            self._doubtful.update(_ids(publications))
            try:
                self._note_published(by_receipt[Receipt.CONFIRMED])
            except LedgerUnreachableError:
                self._unlock(_ids([*publications, *refused]))  # still reserved, as below
                raise
            if publications and self._stop.wait(next(waits, REPUBLISH_SECONDS[-1])):
                # Still reserved, so that whoever fetches them publishes them under the same Celery ids.
                log.warning("dispatcher.stopped_unpublished", count=len(publications), queue=self._queue)
                self._unlock(_ids(publications))
                break
        self._give_back(refused)

    def _sent(self, publications: Sequence[Publication]) -> Mapping[Receipt, list[Publication]]:
        self._beat()
        with metrics.publishing(self._queue):
            receipts = self._publisher.publish(publications)
        for publication, receipt in zip(publications, receipts, strict=True):
            metrics.published(publication.dispatch.ref.topic, self._queue, receipt.value)
        return _grouped(publications, receipts)

    def _note_published(self, publications: Sequence[Publication]) -> None:
        if not publications:
            return
        self._ledger.mark_published([p.dispatch.ref for p in publications])
        for publication in publications:
            ref = publication.dispatch.ref
            log.info(
                "external_task.dispatched",
                external_task_id=ref.external_task_id,
                topic=ref.topic,
                queue=self._queue,
                process_instance_id=ref.process_instance_id,
            )

    def _give_back(self, publications: Sequence[Publication]) -> None:
        """Unlock what the broker has no place for; what it may have all the same keeps its entry, and its Celery id.

        Raises:
            PublishRefusedError: there was something, so that the poller pauses.
        """
        refs = [publication.dispatch.ref for publication in publications]
        try:
            for ref in (ref for ref in refs if ref.external_task_id not in self._doubtful):
                if self._ledger.forget(ref.external_task_id, ref.token, self._queue):
                    metrics.dropped(ref.topic, metrics.Drop.GIVEN_BACK)
        finally:
            self._unlock(_ids(publications))
        if refs:
            raise PublishRefusedError(self._queue, len(refs))

    def _unlock(self, external_task_ids: Iterable[ExternalTaskId]) -> None:
        for external_task_id in external_task_ids:
            self._beat()
            try:
                self._engine.unlock(external_task_id)
            except (EngineError, UnreachableError) as error:
                log.warning("external_task.unlock_failed", external_task_id=external_task_id, reason=str(error))


def _count(topic: Topic, reserved: Reserved) -> None:
    match reserved.reservation:
        case Reservation.ADOPTED:
            metrics.dropped(topic, metrics.Drop.ADOPTED)
        case Reservation.ENDED:
            metrics.dropped(topic, metrics.Drop.ENDED)
        case Reservation.FULL:
            metrics.dropped(topic, metrics.Drop.GIVEN_BACK)
        case Reservation.REPUBLISH:
            metrics.dropped(topic, metrics.Drop.REPUBLISHED)
            metrics.redelivered(metrics.Redelivery.PUBLISHED_AGAIN)
        case Reservation.NEW if reserved.replaced is State.LOST:
            metrics.dropped(topic, metrics.Drop.LOST)
        case Reservation.NEW if reserved.replaced:
            metrics.dropped(topic, metrics.Drop.SUPERSEDED)


def _ids(publications: Iterable[Publication]) -> list[ExternalTaskId]:
    return [publication.dispatch.ref.external_task_id for publication in publications]


def _grouped(publications: Sequence[Publication], receipts: Sequence[Receipt]) -> Mapping[Receipt, list[Publication]]:
    grouped: dict[Receipt, list[Publication]] = {receipt: [] for receipt in Receipt}
    for publication, receipt in zip(publications, receipts, strict=True):
        grouped[receipt].append(publication)
    return grouped
