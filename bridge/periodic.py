"""A job that is done again and again: what goes wrong is logged, and nothing but its stop event ends it.

Where one replica's work is enough for all, the registry says whose turn it is; it passes on when a replica is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from procos.domain.errors import EngineBusyError, UnreachableError
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from bridge.registry import Registry

TURNS_MISSED = 3

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """One job: `turn` is done every `seconds`, by all replicas, or by one of them where a registry is given."""

    name: str
    turn: Callable[[], None]
    seconds: float
    shared_by: Registry | None = None

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Do it until stopped; `beat` is told of every turn."""
        while not stop.wait(self.seconds):
            beat()
            try:
                if self._is_ours_to_do():
                    self.turn()
            except (UnreachableError, EngineBusyError) as error:
                # An outage is reported by the pollers already, who meet it too.
                log.debug("job.skipped", job=self.name, reason=str(error))
            except Exception as error:  # whatever it is: a job that ends is one that is never done again
                log.exception("job.failed", job=self.name, reason=str(error) or type(error).__name__)

    def _is_ours_to_do(self) -> bool:
        return self.shared_by is None or self.shared_by.has_turn(self.name, TURNS_MISSED * max(self.seconds, 1.0))
