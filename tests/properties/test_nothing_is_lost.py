"""Whatever happens in whatever order, every step ends, and nothing runs twice without a reason."""

from __future__ import annotations

import logging
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge.publisher import Receipt
from procos.domain.errors import (
    EngineBusyError,
    EngineConflictError,
    EngineDeniedError,
    EngineRejectedError,
    ProcosError,
)
from procos.domain.outcome import BpmnError, Failure, Outcome, Postponement
from tests.properties.bridge_model import Plan
from tests.properties.steps import CAUGHT, ROUTES
from tests.properties.worker_model import completion
from tests.properties.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.properties.bridge_model import BridgeModel
    from tests.properties.worker_model import WorkerModel

MOST_STEPS = 6
EXAMPLES, STEPS = 500, 50
OUTCOMES: list[Outcome] = [
    completion(),
    completion(),
    Failure(message="not now"),
    Failure(message="at once", retry_in=timedelta(0)),
    Failure(message="never", permanent=True),
    BpmnError(code=CAUGHT),
    BpmnError(code="SURPRISE"),
    Postponement(retry_in=timedelta(seconds=10), reason="busy"),
    Postponement(retry_in=timedelta(0), reason="busy"),
]
PLANS = [
    Plan(receipt=Receipt.UNKNOWN, arrives=True),
    Plan(receipt=Receipt.UNKNOWN, arrives=False),
    Plan(receipt=Receipt.REFUSED, arrives=False),
]
REFUSALS = [
    lambda: EngineConflictError("collided", status=500, code=1),
    lambda: EngineBusyError("busy", status=503),
    lambda: EngineDeniedError("denied", status=401),
    lambda: EngineRejectedError("broken", status=500, kind="ProcessEngineException", code=0),
]
ANY = st.integers(0, 11)


class Fault(StrEnum):
    """What may go wrong; each example has a few of them, so that each is seen with and without the others."""

    DEATHS = "workers die"
    CONNECTIONS = "workers lose their connections"
    FREEZES = "workers freeze"
    LOSSES = "messages are lost"
    PUBLISHING = "publications go wrong"
    CRASHES = "bridges crash"
    REPLICAS = "there are two bridges"
    RACES = "things happen at once"
    ENGINE_OUTAGES = "the engine is down"
    LOST_ANSWERS = "answers of the engine are lost"
    REFUSALS = "the engine refuses"
    CANCELLATIONS = "steps are cancelled"
    SUSPENSIONS = "instances are suspended"
    REDIS_OUTAGES = "Redis is down"
    FLUSHES = "Redis loses its data"


def may(fault: Fault) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a rule apply only to the examples in which this may go wrong."""
    return precondition(lambda self: fault in self.faults)


class Surroundings(RuleBasedStateMachine):
    """The rules: what may happen next."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.faults: frozenset[Fault] = frozenset()

    @initialize(
        topics=st.lists(st.sampled_from(sorted(ROUTES)), min_size=1, max_size=3),
        faults=st.frozensets(st.sampled_from(Fault), max_size=4),
    )
    def begin(self, topics: list[str], faults: frozenset[Fault]) -> None:
        self.faults = faults
        for topic in topics:
            self.world.add_step(topic)

    # What should happen

    @precondition(lambda self: len(self.world.steps) < MOST_STEPS)
    @rule(topic=st.sampled_from(sorted(ROUTES)))
    def a_step_begins(self, topic: str) -> None:
        self.world.add_step(topic)

    @rule()
    def all_poll(self) -> None:
        self.world.poll_all()

    @rule(which=ANY)
    def a_worker_takes(self, which: int) -> None:
        self._worker(which).take()

    @rule(which=ANY, outcome=st.sampled_from(OUTCOMES))
    def a_worker_finishes(self, which: int, outcome: Outcome) -> None:
        self._worker(which, busy=True).finish(outcome)

    @rule()
    def all_work(self) -> None:
        self.world.work_all()

    @rule(which=ANY)
    def a_result_is_reported(self, which: int) -> None:
        for bridge in self._bridge(which):
            bridge.report()

    @rule(which=ANY)
    def results_are_reported_in_a_list(self, which: int) -> None:
        for bridge in self._bridge(which):
            bridge.report_list()

    @rule()
    def all_results_are_reported(self) -> None:
        self.world.report_all()

    @rule(seconds=st.sampled_from([0.1, 1, 5, 11, 31]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([70, 140, 400]))
    def much_time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(
        which=ANY,
        job=st.sampled_from(["keeper", "watcher", "reconciler", "orphans", "succession", "retries", "presence"]),
    )
    def a_job_is_done(self, which: int, job: str) -> None:
        for bridge in self._bridge(which):
            bridge.do(job)

    # What goes wrong with workers and messages

    @may(Fault.DEATHS)
    @rule(which=ANY, outcome=st.sampled_from(OUTCOMES), actions=st.integers(0, 3))
    def a_worker_finishes_and_dies(self, which: int, outcome: Outcome, actions: int) -> None:
        worker = self._worker(which, busy=True)
        worker.finish(outcome, actions=actions)
        worker.die()

    @may(Fault.DEATHS)
    @rule(which=ANY)
    def a_worker_dies(self, which: int) -> None:
        self._worker(which, busy=True).die()

    @may(Fault.CONNECTIONS)
    @rule(which=ANY)
    def a_worker_loses_its_connection(self, which: int) -> None:
        self._worker(which, busy=True).lose_connection()

    @may(Fault.FREEZES)
    @rule(which=ANY, frozen=st.booleans())
    def a_worker_freezes_or_thaws(self, which: int, *, frozen: bool) -> None:
        self._worker(which).freeze(frozen=frozen)

    @may(Fault.LOSSES)
    @rule(queue=st.sampled_from(["ai", "generic", "callbacks"]))
    def a_message_is_lost(self, queue: str) -> None:
        self.world.lose_message(queue)

    @may(Fault.PUBLISHING)
    @rule(plans=st.lists(st.sampled_from(PLANS), min_size=1, max_size=3))
    def publishing_goes_wrong(self, plans: list[Plan]) -> None:
        self.world.plans.extend(plans)

    # What goes wrong with bridges

    @may(Fault.CRASHES)
    @rule(which=ANY)
    def a_bridge_crashes(self, which: int) -> None:
        for bridge in self._bridge(which):
            self.world.keeps_books = False
            bridge.die()

    @may(Fault.CRASHES)
    @rule(which=ANY)
    def a_bridge_stops(self, which: int) -> None:
        for bridge in self._bridge(which):
            bridge.stop()

    @precondition(lambda self: not self.world.living())
    @rule()
    def a_bridge_starts(self) -> None:
        self.world.start_bridge("a")

    @may(Fault.REPLICAS)
    @rule(replica=st.sampled_from("ab"))
    def another_bridge_starts(self, replica: str) -> None:
        self.world.start_bridge(replica)

    @may(Fault.CRASHES)
    @rule(which=ANY, calls=st.integers(1, 9))
    def a_bridge_is_about_to_crash(self, which: int, calls: int) -> None:
        for bridge in self._bridge(which):
            bridge.arm(calls, None)

    @may(Fault.RACES)
    @rule(which=ANY, calls=st.integers(1, 9), meanwhile=st.integers(0, 10))
    def something_happens_meanwhile(self, which: int, calls: int, meanwhile: int) -> None:
        self.world.capacity_excused = True
        for bridge in self._bridge(which):
            bridge.arm(calls, self._meanwhile(meanwhile))

    def _meanwhile(self, number: int) -> Callable[[], None]:
        world = self.world
        actions: list[Callable[[], None]] = [
            world.poll_all,
            world.work_all,
            world.report_all,
            *(partial(world.all_do, job) for job in ("keeper", "watcher", "orphans", "succession", "reconciler")),
            partial(world.pass_time, 2),
            world.stall,
            world.all_take,
        ]
        return actions[number]

    # What goes wrong with the engine, and is done to it

    @may(Fault.ENGINE_OUTAGES)
    @rule(down=st.booleans())
    def the_engine_is_down_or_up(self, *, down: bool) -> None:
        self.world.engine.is_down = down
        self.world.note_trouble()

    @may(Fault.LOST_ANSWERS)
    @rule(calls=st.integers(1, 3))
    def answers_of_the_engine_are_lost(self, calls: int) -> None:
        self.world.engine.lose_answer_of_next(calls)
        self.world.note_trouble()

    @may(Fault.REFUSALS)
    @rule(refusal=st.sampled_from(REFUSALS), after=st.integers(0, 3), times=st.integers(1, 2))
    def the_engine_refuses_calls(self, refusal: Callable[[], ProcosError], after: int, times: int) -> None:
        self.world.refuse([None] * after + [refusal() for _ in range(times)])

    @may(Fault.CANCELLATIONS)
    @rule(which=ANY)
    def a_step_is_cancelled(self, which: int) -> None:
        self.world.cancel(which)

    @may(Fault.SUSPENSIONS)
    @rule(which=ANY, suspended=st.booleans())
    def an_instance_is_suspended_or_activated(self, which: int, *, suspended: bool) -> None:
        self.world.suspend(which, suspended=suspended)

    @precondition(lambda self: self.world.engine.incidents)
    @rule(retries=st.integers(1, 3))
    def an_operator_sets_retries(self, retries: int) -> None:
        self.world.set_retries(retries)

    # What goes wrong with Redis

    @may(Fault.REDIS_OUTAGES)
    @rule(down=st.booleans())
    def redis_is_down_or_up(self, *, down: bool) -> None:
        self.world.redis_down(down=down)

    @may(Fault.FLUSHES)
    @rule()
    def redis_is_flushed(self) -> None:
        self.world.flush()

    @invariant()
    def everything_holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.heal()

    def _worker(self, which: int, *, busy: bool = False) -> WorkerModel:
        workers = self.world.workers
        at_work = [worker for worker in workers if worker.job is not None]
        chosen = at_work if busy and at_work else workers
        return chosen[which % len(chosen)]

    def _bridge(self, which: int) -> list[BridgeModel]:
        bridges = self.world.living()
        return bridges[which % len(bridges) :][:1] if bridges else []


def thorough(examples: int, *, derandomize: bool) -> settings:
    """Return how to look: for so many examples, of up to 50 steps each."""
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        derandomize=derandomize,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=not derandomize,
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let the bridges log nothing: they do so a hundred thousand times."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("quiet")
@pytest.mark.timeout(300)
def test_every_step_ends_whatever_happens() -> None:
    """The same examples in each run; `python -m tests.properties` looks for others."""
    run_state_machine_as_test(Surroundings, settings=thorough(EXAMPLES, derandomize=True))
