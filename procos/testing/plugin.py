"""The pytest plug-in: tests of tasks and processes without Java, RabbitMQ or Redis.

pytest loads it wherever ProcOS is installed, so nothing is imported before a test asks for a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from procos.testing import FakeEngine, FrozenClock, StepRunner


@pytest.fixture
def procos_engine() -> FakeEngine:
    """An engine in memory, on a clock that stands still."""
    from procos.testing import FakeEngine

    return FakeEngine()


@pytest.fixture
def procos_clock(procos_engine: FakeEngine) -> FrozenClock:
    """The clock of that engine."""
    return procos_engine.clock


@pytest.fixture
def procos_steps(procos_engine: FakeEngine) -> StepRunner:
    """Runs steps through the whole of ProcOS: `procos_steps.run("topic", name="Ada")`."""
    from procos.testing import StepRunner

    return StepRunner(procos_engine)
