"""A job that is done again and again: what goes wrong is logged, and nothing but its stop event ends it.

Where one replica's work is enough for all, the registry says whose turn it is; it passes on when a replica is gone, and
at once when it stops.
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
LONGEST_GAP_SECONDS = 10.0
"""How long a job may be left undone when the replica that did it is gone."""

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
            self._do()
        self._pass_on()

    def _do(self) -> None:
        try:
            if self._is_ours_to_do():
                self.turn()
        except (UnreachableError, EngineBusyError) as error:
            # An outage is reported by the pollers already, who meet it too.
            log.debug("job.skipped", job=self.name, reason=str(error))
        except Exception as error:  # whatever it is: a job that ends is one that is never done again
            log.exception("job.failed", job=self.name, reason=str(error) or type(error).__name__)

    def _is_ours_to_do(self) -> bool:
        held_for = min(TURNS_MISSED * max(self.seconds, 1.0), LONGEST_GAP_SECONDS)
        return self.shared_by is None or self.shared_by.has_turn(self.name, held_for)

    def _pass_on(self) -> None:
        try:
            if self.shared_by is not None:
                self.shared_by.pass_turn(self.name)
        except UnreachableError as error:
            log.debug("job.not_passed_on", job=self.name, reason=str(error))
