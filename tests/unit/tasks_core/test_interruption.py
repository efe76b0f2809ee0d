"""An interruption strikes the function it is meant for, in the main thread, and nothing that comes after it."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import StepCancelled
from procos.testing import dispatch_ref
from tasks.interruption import SIGNAL, Interruption
from tasks.runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def celerys() -> Iterator[list[int]]:
    """Celery's own handler of the signal: notes that it was called."""
    called: list[int] = []
    before = signal.signal(SIGNAL, lambda number, _: called.append(number))
    yield called
    signal.signal(SIGNAL, before)


@pytest.fixture
def interruption(celerys: list[int]) -> Interruption:  # noqa: ARG001  # the handler that is there before
    interruption = Interruption()
    interruption.arm()
    return interruption


def interrupted(interruption: Interruption, run: Run) -> None:
    """Interrupt a run as the heartbeat does, from another thread, while this one waits."""
    thread = threading.Thread(target=interruption.interrupt, args=(run,))
    thread.start()
    thread.join(5)
    threading.Event().wait(0.01)


class TestInterruption:
    def test_raises_in_a_run_that_works(self, interruption: Interruption) -> None:
        run = Run(ref=dispatch_ref(), queue="ai", worker="w", is_working=True)
        with pytest.raises(StepCancelled):
            interrupted(interruption, run)

    def test_does_nothing_to_one_that_has_ended(self, interruption: Interruption, celerys: list[int]) -> None:
        interrupted(interruption, Run(ref=dispatch_ref(), queue="ai", worker="w"))
        assert celerys == []

    def test_leaves_celerys_own_signals_to_celery(self, interruption: Interruption, celerys: list[int]) -> None:
        interruption.arm()
        signal.raise_signal(SIGNAL)
        assert celerys == [SIGNAL]
