"""A publisher that keeps what it is given, and answers what the test says."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from bridge.publisher import Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.publisher import Publication


class RecordingPublisher:
    """The `Publisher` protocol in memory: scripted receipts in their order, CONFIRMED when there are none left."""

    def __init__(self, *receipts: Receipt) -> None:
        self._receipts = deque(receipts)
        self.batches: list[list[Publication]] = []

    @property
    def published(self) -> list[Publication]:
        """Everything that was published, in order, doubles included."""
        return [publication for batch in self.batches for publication in batch]

    @property
    def celery_ids(self) -> list[str]:
        """The Celery ids of everything that was published."""
        return [publication.dispatch.ref.celery_id for publication in self.published]

    def ready(self) -> None:
        """Say that all is well."""

    def publish(self, publications: Sequence[Publication]) -> Sequence[Receipt]:
        """Keep the batch, and answer for each of it."""
        self.batches.append(list(publications))
        return [self._receipts.popleft() if self._receipts else Receipt.CONFIRMED for _ in publications]
