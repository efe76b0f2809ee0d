"""Interrupts the function of a cancelled run that does not stop by itself, in a process of its own.

Celery interrupts a process by the signal SIGUSR1, which raises in whatever its main thread is doing: that may be the
end of the run, or the next task. So the handler here asks first, in the very thread in which it may raise.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from procos.domain.errors import StepCancelled

if TYPE_CHECKING:
    from tasks.runs import Run

SIGNAL = signal.SIGUSR1


class Interruption:
    """Raises `StepCancelled` in the function of one run, and nowhere else."""

    def __init__(self) -> None:
        self._asked: Run | None = None
        self._previous: Any = None

    def arm(self) -> None:
        """Take over the signal; call it in the main thread."""
        present = signal.getsignal(SIGNAL)
        if present != self._on_signal:
            self._previous = present
            signal.signal(SIGNAL, self._on_signal)

    def interrupt(self, run: Run) -> None:
        """Raise in the run's function, unless it has ended when the signal arrives."""
        main = threading.main_thread().ident
        if main is not None:
            self._asked = run
            signal.pthread_kill(main, SIGNAL)

    def kill(self) -> None:
        """End this process at once, as running out of memory would: Celery starts another."""
        os.kill(os.getpid(), signal.SIGKILL)

    def _on_signal(self, number: int, frame: Any) -> None:
        asked, self._asked = self._asked, None
        if asked is None:
            if callable(self._previous):
                self._previous(number, frame)  # Celery's soft time limit
        elif asked.is_working:
            raise StepCancelled("the step was cancelled")
