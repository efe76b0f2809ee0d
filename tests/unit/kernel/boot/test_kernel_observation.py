from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from procos.kernel.boot.course import BootStopped
from procos.kernel.boot.observation import findings, late
from procos.kernel.stack import PartState, Status

if TYPE_CHECKING:
    from procos.kernel.boot.course import Course
    from procos.kernel.boot.metrics import KernelMetrics


@dataclass
class FakeWard:
    engine: PartState


@dataclass
class FakeOrchestrator:
    instance: str | None = "i-1"


ONE: Any = FakeOrchestrator()


class TestFindings:
    def test_say_how_far_the_boot_is(self, course: Course) -> None:
        ward: Any = FakeWard(PartState(name="engine", address="", status=Status.STARTING))

        assert findings(course, ward, ONE) == {"boot": "phase 1 of 6: validate the environment"}

    def test_are_well_when_the_engine_answers(self, course: Course) -> None:
        ward: Any = FakeWard(PartState(name="engine", address="", status=Status.HEALTHY))
        course.begin_monitoring("the engine")

        assert findings(course, ward, ONE) == {"boot": "ok", "engine": "ok", "orchestrator": "ok"}

    def test_say_what_ails_the_engine(self, course: Course) -> None:
        ward: Any = FakeWard(PartState(name="engine", address="", status=Status.RESTARTING, reason="was killed"))
        course.begin_monitoring("the engine")

        assert findings(course, ward, ONE)["engine"] == "restarting: was killed"

    def test_miss_an_orchestrator(self, course: Course) -> None:
        ward: Any = FakeWard(PartState(name="engine", address="", status=Status.HEALTHY))
        none: Any = FakeOrchestrator(None)
        course.begin_monitoring("the engine")

        assert findings(course, ward, none)["orchestrator"] == "none runs"

    def test_are_not_ready_while_all_stops(self, course: Course) -> None:
        ward: Any = FakeWard(PartState(name="engine", address="", status=Status.HEALTHY))
        course.ask_to_stop(signal.SIGTERM)
        with pytest.raises(BootStopped):
            course.pause(0)

        assert findings(course, ward, ONE) == {"boot": "stopping"}


class TestLate:
    def test_is_a_monitor_that_hangs_and_no_boot_that_takes_its_time(self, course: Course) -> None:
        assert late(course, longest=-1) == {}
        course.begin_monitoring("the engine")
        assert late(course, longest=-1) == {"monitor": "0 s"}
        assert late(course, longest=60) == {}


class TestMetrics:
    def test_count_restarts(self, metrics: KernelMetrics) -> None:
        metrics.see(PartState(name="engine", address="", status=Status.UNHEALTHY, restarts=3))

        assert b"procos_kernel_engine_restarts 3.0" in metrics.exposition()
        assert b"procos_kernel_engine_up 0.0" in metrics.exposition()
