from __future__ import annotations

from typing import Any

from procos import __version__
from procos.kernel.boot.orchestrator import Orchestrator


class TestOrchestrator:
    def test_starts_one_where_none_runs(self, engine: Any) -> None:
        orchestrator = Orchestrator(engine, has_turn=lambda: True)

        assert orchestrator.ensure() == "instance new-1"
        assert engine.started[0].keys() == {"system_mode", "kernel_version", "startup_time"}
        assert engine.started[0]["kernel_version"] == __version__

    def test_leaves_the_one_that_runs_alone(self, engine: Any) -> None:
        engine.instances = ["old"]
        orchestrator = Orchestrator(engine, has_turn=lambda: True)

        assert orchestrator.ensure() == "instance old runs already"
        assert (engine.started, engine.cancelled, orchestrator.instance) == ([], [], "old")

    def test_starts_it_anew_once_it_has_ended(self, engine: Any) -> None:
        orchestrator = Orchestrator(engine, has_turn=lambda: True)
        orchestrator.ensure()
        engine.instances.clear()

        assert orchestrator.ensure() == "instance new-2"

    def test_leaves_the_start_to_the_kernel_whose_turn_it_is(self, engine: Any) -> None:
        assert Orchestrator(engine, has_turn=lambda: False).ensure() == "another kernel starts it"
        assert engine.started == []

    def test_ends_all_but_the_oldest(self, engine: Any) -> None:
        engine.instances = ["old", "young", "youngest"]

        outcome = Orchestrator(engine, has_turn=lambda: True).ensure()

        assert outcome == "instance old runs already, 2 more were ended"
        assert engine.instances == ["old"]

    def test_ends_none_while_it_is_anothers_turn(self, engine: Any) -> None:
        engine.instances = ["old", "young"]

        Orchestrator(engine, has_turn=lambda: False).ensure()

        assert engine.cancelled == []

    def test_first_deletes_a_farewell_that_was_cut_off(self, engine: Any) -> None:
        engine.farewells = ["left behind"]

        Orchestrator(engine, has_turn=lambda: True).ensure()

        assert engine.cancelled == ["left behind"]
