"""Orders of events that once did harm, each as short as it could be made."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.publisher import Receipt
from procos.domain.errors import EngineConflictError
from procos.domain.outcome import BpmnError, Failure
from tests.properties.bridge_model import Plan
from tests.properties.worker_model import completion
from tests.properties.world import World

ARRIVED = Plan(receipt=Receipt.UNKNOWN, arrives=True)
REFUSED = Plan(receipt=Receipt.REFUSED, arrives=False)


@pytest.fixture
def world() -> World:
    world = World()
    world.add_step("ask")
    return world


def runs(world: World) -> int:
    (step,) = world.steps.values()
    return step.runs


class TestPublication:
    def test_that_is_refused_after_it_may_have_arrived_keeps_its_celery_id(self, world: World) -> None:
        world.plans.extend([ARRIVED, REFUSED])
        world.poll_all()
        world.all_take()
        world.heal()
        assert runs(world) == 1

    def test_that_is_refused_when_a_reservation_is_published_again_keeps_its_celery_id(self, world: World) -> None:
        world.plans.extend([ARRIVED])
        world.bridges["a"].arm(5, None)
        world.poll_all()
        assert not world.living()
        world.advance(11)
        world.start_bridge("a")
        world.plans.extend([REFUSED])
        world.poll_all()
        world.all_take()
        world.heal()
        assert runs(world) == 1

    def test_that_is_refused_for_one_queue_leaves_the_retries_of_the_others(self, world: World) -> None:
        world.add_step("count")
        world.poll_all()
        world.work_all()
        for worker in world.workers:
            worker.finish(Failure(message="no", retry_in=timedelta(seconds=5)))
        world.report_all()
        world.clock.advance(seconds=5)
        world.plans.append(REFUSED)
        world.bridges["a"].do("retries")
        assert len(world.broker.ready["generic"]) == 1


class TestStoredResult:
    def test_that_was_reported_makes_no_second_incident_when_its_callback_comes_late(self, world: World) -> None:
        world.poll_all()
        world.workers[0].take()
        world.workers[0].finish(BpmnError(code="SURPRISE"))
        world.bridges["a"].reporter.report(world.reference(), BpmnError(code="SURPRISE"))
        (step,) = world.steps.values()
        world.engine.set_retries(step.id, 1)
        world.poll_all()
        world.report_all()
        assert world.engine.incidents == {}

    def test_that_ended_the_step_is_not_undone_by_a_failure_that_comes_late(self, world: World) -> None:
        world.poll_all()
        world.workers[0].take()
        world.workers[0].finish(Failure(message="not now", retry_in=timedelta(0)))
        world.bridges["a"].reporter.report(world.reference(), Failure(message="not now", retry_in=timedelta(0)))
        world.clock.advance(seconds=1)
        world.poll_all()
        world.bridges["a"].reporter.report(world.reference(), Failure(message="never", permanent=True))
        world.report_all()
        assert list(world.engine.incidents.values()) == ["never"]


class TestReconciler:
    def test_goes_on_to_others_when_a_step_is_gone(self, world: World) -> None:
        world.add_step("ask")
        world.poll_all()
        for _ in world.steps:
            world.broker.lose("ai")
        first = next(iter(world.steps))
        world.engine.cancel(world.steps[first].id)
        world.clock.advance(seconds=61)
        for _ in range(2):
            world.bridges["a"].do("reconciler")
        assert [entry.state for entry in world.ledger.entries.values()] == ["published", "lost"]


class TestFlush:
    def test_is_made_good_by_each_bridge(self, world: World) -> None:
        world.start_bridge("b")
        world.bridges["b"].poll("ai")
        world.flush()
        for name in ("a", "b"):
            world.bridges[name].do("presence")
        assert [entry.holder for entry in world.ledger.entries.values()] == ["b/ai"]
        assert {"a/ai", "a/generic", "b/ai", "b/generic", "b/topic.cheap+limit.api/generic"} <= world.register.holders

    def test_is_made_good_when_the_engine_is_back(self, world: World) -> None:
        world.poll_all()
        world.engine.is_down = True
        world.flush()
        world.bridges["a"].do("presence")
        world.engine.is_down = False
        world.bridges["a"].do("presence")
        assert len(world.ledger.entries) == 1

    def test_is_made_good_by_a_bridge_that_starts_without_the_engine(self, world: World) -> None:
        world.poll_all()
        world.bridges["a"].stop()
        world.flush()
        world.engine.refuse_next(EngineConflictError("collided", status=500, code=1))
        world.engine.is_down = True
        world.start_bridge("a")
        world.engine.have_no_faults()
        world.advance(1)
        assert [entry.state for entry in world.ledger.entries.values()] == ["published"]
        assert len(world.broker.ready["ai"]) == 1

    def test_costs_no_second_run_of_a_step_that_waits_in_its_queue(self, world: World) -> None:
        world.poll_all()
        world.flush()
        world.advance(120)
        world.workers[0].take()
        world.workers[0].finish(completion())
        world.heal()
        assert runs(world) == 1


class TestCap:
    @pytest.mark.parametrize("calls", range(1, 11))
    def test_is_kept_though_two_bridges_fetch_at_once(self, world: World, calls: int) -> None:
        """At whatever point of its turn the other one comes in between."""
        for _ in range(4):
            world.add_step("count")
        world.start_bridge("b")
        world.bridges["a"].arm(calls, lambda: world.bridges["b"].poll("generic"))
        world.bridges["a"].poll("generic")
        assert world.ledger.in_flight("generic") == 2
        world.check()
        locked = [task for task in world.engine.open_tasks() if task.topic == "count" and task.lease]
        assert len(locked) == 2, "what had no place is offered again"
        world.heal()
