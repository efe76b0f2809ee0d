"""One execution of a dispatch in this process: what its heartbeat says, and what it is told."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procos.domain.dispatch import DispatchRef


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Run:
    """A dispatch in a worker's hands, from its start until Celery has let go of it."""

    ref: DispatchRef
    queue: str
    worker: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    starts: int | None = None
    """How often the dispatch was started, this run included; None where nobody could count."""
    in_process_of_its_own: bool = False
    """It runs in the main thread of a process that may be interrupted, and killed: Celery starts another."""
    is_working: bool = False
    """Its function runs; neither its start nor its outcome is being dealt with."""
    is_publishing: bool = False
    """Nothing is left of it but its outcome's way to the broker: it is mapped, and what is to be kept of it is kept."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    cancelled_at: float | None = None
    was_interrupted: bool = False

    def cancel(self, now: float) -> None:
        """Tell it that nobody waits for its outcome; `now` is a moment of the monotonic clock."""
        if self.cancelled_at is None:
            self.cancelled_at = now
        self.cancelled.set()
