"""Brings dispatches to the broker: reserve in the ledger, publish until it is known, give back what was refused.

Belongs to one dispatcher, which calls it in its turn. What the broker may or may not have is published again under the
same Celery id, so that whoever receives both tells a double from a new one. What it never takes is an incident.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.fetched import untaken
from bridge.publisher import Receipt
from bridge.reserving import reserved
from bridge.undispatched import refuse_dispatched, unlock
from procos import metrics
from procos.domain.errors import LedgerUnreachableError, PublishRefusedError
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from bridge.ledger import Ledger
    from bridge.publisher import Publication, Publisher
    from procos.domain.external_task import ExternalTaskId
    from procos.engine.protocol import Engine

REPUBLISH_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)

log = get_logger(__name__)


class Delivery:
    """Delivers one batch after the other for one queue."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        publisher: Publisher,
        *,
        queue: str,
        lease: timedelta,
        stop: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        self._engine, self._ledger, self._publisher = engine, ledger, publisher
        self._queue, self._lease, self._stop, self._beat = queue, lease, stop, beat
        self._doubtful: set[ExternalTaskId] = set()
        """Those of this batch that an earlier publication may have brought to the broker."""

    def deliver(self, publications: Sequence[Publication]) -> None:
        """Bring every publication to the broker, or back to the engine.

        Raises:
            LedgerUnreachableError: all that is not known to be with the broker is unlocked.
            PublishRefusedError: the broker has no place; what it refused is unlocked.
        """
        self._doubtful.clear()
        self._publish(self._reserved(publications))

    def _reserved(self, publications: Sequence[Publication]) -> list[Publication]:
        """Reserve the entries; returns what is to be published, under the tokens that count."""
        try:
            batch = reserved(self._ledger, publications, self._queue, lease=self._lease)
        except LedgerUnreachableError:
            for publication in publications:
                metrics.dropped(publication.dispatch.ref.topic, metrics.Drop.UNRESERVED)
            self._unlock(_ids(publications))
            raise
        self._doubtful.update(batch.doubtful)
        self._unlock(batch.without_place)
        return batch.chosen

    def _publish(self, publications: Sequence[Publication]) -> None:
        waits = iter(REPUBLISH_SECONDS)
        refused: list[Publication] = []
        while publications:
            by_receipt = self._sent(publications)
            refused += by_receipt[Receipt.REFUSED]
            too_large = by_receipt[Receipt.TOO_LARGE]
            publications = by_receipt[Receipt.UNKNOWN]
            self._doubtful.update(_ids(publications))
            try:
                self._note_published(by_receipt[Receipt.CONFIRMED])
                self._refuse(too_large)
            except LedgerUnreachableError:
                self._unlock(_ids([*publications, *refused, *too_large]))  # still reserved, as below
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
        grouped: dict[Receipt, list[Publication]] = {receipt: [] for receipt in Receipt}
        for publication, receipt in zip(publications, receipts, strict=True):
            metrics.published(publication.dispatch.ref.topic, self._queue, receipt.value)
            grouped[receipt].append(publication)
        return grouped

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

    def _refuse(self, publications: Sequence[Publication]) -> None:
        """Make incidents of what the broker never takes; nothing of it can be there."""
        for publication in publications:
            dispatch = publication.dispatch
            self._beat()
            self._ledger.forget(dispatch.ref.external_task_id, dispatch.ref.token, self._queue)
            refuse_dispatched(self._engine, dispatch.ref, untaken(dispatch))

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
        unlock(self._engine, external_task_ids, beat=self._beat)


def _ids(publications: Iterable[Publication]) -> list[ExternalTaskId]:
    return [publication.dispatch.ref.external_task_id for publication in publications]
