"""The course of a boot: which phase it is in, how each one went, and whether somebody wants it to stop."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from procos.domain.errors import EngineBusyError, EngineConflictError, ProcosError, UnreachableError
from procos.kernel.boot.phases import BootPhase, PhaseDone

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.kernel.boot.announcer import Announcer
    from procos.kernel.boot.metrics import KernelMetrics

PAUSE_SECONDS = 0.2
CALLS_LIMIT = timedelta(seconds=60)
"""How long calls to the engine may meet one that is busy, or has just gone away, before a phase fails."""


class BootStopped(Exception):  # noqa: N818  # an event, and no error of anybody
    """Raised when the kernel is asked to stop, in its boot or later."""


class Course:
    """Where the boot is; its waits end when somebody wants to stop."""

    def __init__(
        self, announcer: Announcer, metrics: KernelMetrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.announcer = announcer
        self.clock = clock
        self.phase = BootPhase.ENVIRONMENT
        self.is_stopping = False
        self.last_turn = clock()
        """When the kernel last did anything but wait."""
        self._metrics = metrics
        # A handler may put into a simple queue while the very thread it interrupts reads from it; an event locks.
        self._signals: SimpleQueue[int] = SimpleQueue()

    def ask_to_stop(self, number: int) -> None:
        """Take a signal; called by its handler."""
        self._signals.put(number)

    def go_through(self, phase: BootPhase, do: Callable[[], str]) -> None:
        """Do the work of a phase, which returns in words what came of it, and tell of its end.

        Raises:
            BootStopped: somebody wants to stop.
        """
        self.phase = phase
        self.pause(0)
        began = self.clock()
        try:
            outcome = do()
        except ProcosError as error:
            self._over(began, str(error).partition("\n")[0], has_failed=True)
            raise
        self._over(began, outcome)

    def begin_monitoring(self, what: str) -> None:
        """Say that all is up, and what is watched from now on."""
        self.phase = BootPhase.MONITORING
        self.announcer.watches(what)

    def await_answer(self, question: Callable[[], str | None], *, limit: timedelta, what: str) -> str | None:
        """Ask until there is no trouble; return the last one if there still is when the limit is over.

        Raises:
            BootStopped: somebody wants to stop.
        """
        deadline = self.clock() + limit.total_seconds()
        while (trouble := question()) is not None and self.clock() < deadline:
            self.tell(f"{what}: {trouble}")
            self.pause(PAUSE_SECONDS)
        return trouble

    def patiently(self, do: Callable[[], str], *, meanwhile: Callable[[], None]) -> str:
        """Do it, again while the engine is busy or away, within the limit.

        Raises:
            BootStopped: somebody wants to stop.
        """
        deadline = self.clock() + CALLS_LIMIT.total_seconds()
        while True:
            try:
                return do()
            except (UnreachableError, EngineBusyError, EngineConflictError) as error:
                if self.clock() > deadline:
                    raise
                self.tell(str(error))
            meanwhile()
            self.pause(PAUSE_SECONDS)

    def tell(self, text: str) -> None:
        """Say what the phase waits for."""
        self.announcer.waits(self.phase, text)

    def pause(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            BootStopped: somebody wants to stop.
        """
        self.last_turn = self.clock()
        try:
            self._signals.get(timeout=seconds) if seconds else self._signals.get_nowait()
        except Empty:
            return
        self.is_stopping = True
        raise BootStopped

    def is_hurried(self, seconds: float) -> bool:
        """Let time pass while everything stops; whether somebody does not want to wait, and pressed Ctrl-C again."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                if self._signals.get(timeout=left) == signal.SIGINT:
                    return True
            except Empty:
                break
        return False

    def _over(self, began: float, outcome: str, *, has_failed: bool = False) -> None:
        seconds = self.clock() - began
        done = PhaseDone(phase=self.phase, seconds=seconds, outcome=outcome, has_failed=has_failed)
        self._metrics.over(done)
        self.announcer.over(done)
