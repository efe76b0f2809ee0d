from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procos.kernel.boot.observation import findings
from procos.kernel.stack import PartState, Status

if TYPE_CHECKING:
    from procos.kernel.boot.course import Course
    from procos.kernel.boot.metrics import KernelMetrics


@dataclass
class FakeWard:
    engine: PartState


class TestFindings:
    def test_say_how_far_the_boot_is(self, course: Course) -> None:
        ward: Any = FakeWard(PartState(name="engine", address="", status=Status.STARTING))

        assert findings(course, ward) == {"boot": "phase 1 of 6: validate the environment"}

    def test_are_well_when_the_engine_answers(self, course: Course) -> None:
        ward: Any = FakeWard(PartState(name="engine", address="", status=Status.HEALTHY))
        course.begin_monitoring("the engine")

        assert findings(course, ward) == {"boot": "ok", "engine": "ok"}

    def test_say_what_ails_the_engine(self, course: Course) -> None:
        ward: Any = FakeWard(PartState(name="engine", address="", status=Status.RESTARTING, reason="was killed"))
        course.begin_monitoring("the engine")

        assert findings(course, ward)["engine"] == "restarting: was killed"


class TestMetrics:
    def test_count_restarts(self, metrics: KernelMetrics) -> None:
        metrics.see(PartState(name="engine", address="", status=Status.UNHEALTHY, restarts=3))

        assert b"procos_kernel_engine_restarts 3.0" in metrics.exposition()
        assert b"procos_kernel_engine_up 0.0" in metrics.exposition()
