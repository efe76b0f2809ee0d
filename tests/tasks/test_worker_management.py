"""Topic worker_management: which workers there are, what they do, and where more of them are wanted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BrokerUnreachableError, StepCancelled
from procos.queues import QueueDepth
from procos.settings import load_settings
from tasks.system.fleet import CeleryFleet, Run, Worker, workers_in
from tasks.system.scaling import Verdict, advice_for
from tasks.system.worker_management import DRAIN_SECONDS, WorkerManagementInput, managed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tasks.context import TaskContext
    from tasks.system.worker_management import WorkerManagementOutput

OWN = Run(celery_id="celery-1", task="procos.worker_management", queue="generic")
QUERY = Run(celery_id="c-2", task="procos.ai_query", queue="ai")
GENERIC = Worker(name="generic@a", queues=("generic",), pool="prefork", concurrency=2, runs=(OWN,))
AI = Worker(name="ai@a", queues=("ai",), pool="thread", concurrency=16, runs=(QUERY, QUERY))


@dataclass
class FakeFleet:
    """Workers and queues as the test says; what is in flight changes with every look."""

    found: Sequence[Worker] = (AI, GENERIC)
    waiting: Mapping[str, int] = field(default_factory=dict)
    flights: deque[int | None] = field(default_factory=lambda: deque([1]))

    def workers(self) -> Sequence[Worker]:
        return self.found

    def depths(self, queues: Collection[str]) -> Mapping[str, QueueDepth]:
        return {queue: QueueDepth(ready=self.waiting.get(queue, 0)) for queue in queues}

    def in_flight(self, queues: Collection[str]) -> int | None:
        assert {"ai", "generic"} <= set(queues)
        return self.flights.popleft() if len(self.flights) > 1 else self.flights[0]


class Clock:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(context_with: Callable[..., TaskContext], clock: Clock) -> TaskContext:
    return replace(context_with(load_settings({}, dotenv=None)), clock=clock, deadline=120.0)


@pytest.fixture
def manage(context: TaskContext, clock: Clock) -> Callable[..., WorkerManagementOutput]:
    def manage(fleet: FakeFleet, action: Any = "report", **changes: Any) -> WorkerManagementOutput:
        step = replace(context, **changes)
        return managed(WorkerManagementInput(action=action), step, fleet, pause=clock.pause)

    return manage


class TestReport:
    def test_names_every_worker_and_what_it_runs(self, manage: Callable[..., WorkerManagementOutput]) -> None:
        found = manage(FakeFleet(flights=deque([4])))
        assert found.workers[0] == {
            "name": "ai@a", "queues": ["ai"], "pool": "thread", "concurrency": 16, "running": {"ai_query": 2},
        }  # fmt: skip
        assert (found.worker_count, found.queues_without_worker, found.tasks_under_way) == (2, [], 3)

    @pytest.mark.parametrize("action", ["report", "start_all", "drain"])
    def test_names_queues_nobody_takes_from(self, manage: Callable[..., WorkerManagementOutput], action: str) -> None:
        found = manage(FakeFleet(found=[GENERIC], waiting={"ai": 7}), action)
        assert "ai" in found.queues_without_worker
        (advice,) = [each for each in found.scale_advice if each["queue"] == "ai"]
        assert (advice["advice"], advice["slots"], advice["ready"]) == ("add", 0, 7)

    def test_does_not_count_itself_as_demand(self, manage: Callable[..., WorkerManagementOutput]) -> None:
        found = manage(FakeFleet(found=[GENERIC]))
        (advice,) = [each for each in found.scale_advice if each["queue"] == "generic"]
        assert (advice["advice"], advice["running"]) == ("idle", 0)

    def test_adds_up_the_slots_of_a_queue(self, manage: Callable[..., WorkerManagementOutput]) -> None:
        both = replace(GENERIC, name="both@b", queues=("ai", "generic"), concurrency=4, runs=())
        found = manage(FakeFleet(found=[AI, GENERIC, both]))
        slots = {each["queue"]: each["slots"] for each in found.scale_advice}
        assert (slots["ai"], slots["generic"]) == (20, 6)

    def test_counts_what_workers_run_where_the_ledger_is_away(
        self, manage: Callable[..., WorkerManagementOutput]
    ) -> None:
        assert manage(FakeFleet(flights=deque([None]))).tasks_under_way == 2


class TestDrain:
    def test_waits_until_it_is_alone(self, manage: Callable[..., WorkerManagementOutput], clock: Clock) -> None:
        found = manage(FakeFleet(flights=deque([5, 3, 2, 1])), "drain")
        assert found.tasks_under_way == 0
        assert 0 < clock.now < DRAIN_SECONDS

    def test_gives_up_after_a_while_and_says_what_is_left(
        self, manage: Callable[..., WorkerManagementOutput], clock: Clock
    ) -> None:
        assert manage(FakeFleet(flights=deque([5])), "drain").tasks_under_way == 4
        assert clock.now == pytest.approx(DRAIN_SECONDS)

    def test_keeps_within_the_time_limit(self, manage: Callable[..., WorkerManagementOutput], clock: Clock) -> None:
        manage(FakeFleet(flights=deque([5])), "drain", deadline=18.0)
        assert clock.now == pytest.approx(3.0)

    def test_does_not_wait_where_nobody_can_tell(
        self, manage: Callable[..., WorkerManagementOutput], clock: Clock
    ) -> None:
        manage(FakeFleet(flights=deque([None])), "drain")
        assert clock.now == 0

    def test_stops_when_the_step_is_cancelled(self, manage: Callable[..., WorkerManagementOutput]) -> None:
        with pytest.raises(StepCancelled):
            manage(FakeFleet(flights=deque([5])), "drain", cancelled=lambda: True)


class TestAdvice:
    @pytest.mark.parametrize(
        ("ready", "running", "slots", "verdict"),
        [
            (0, 0, 2, Verdict.IDLE),
            (0, 1, 2, Verdict.ENOUGH),
            (1, 2, 2, Verdict.ENOUGH),
            (2, 2, 2, Verdict.ADD),
            (30, 2, 2, Verdict.ADD),
            (0, 0, 0, Verdict.ADD),
            (9, 0, 0, Verdict.ADD),
        ],
    )
    def test_compares_demand_with_slots(self, ready: int, running: int, slots: int, verdict: Verdict) -> None:
        advice = advice_for("ai", ready=ready, running=running, slots=slots)
        assert advice.advice is verdict
        assert advice.reason

    def test_is_kept_as_plain_values(self) -> None:
        assert advice_for("ai", ready=3, running=2, slots=2).as_variable() == {
            "queue": "ai", "advice": "add", "ready": 3, "running": 2, "slots": 2,
            "reason": "3 wait for 2 slots: each has another one waiting, or more",
        }  # fmt: skip


class TestAnswers:
    def test_of_celery_are_read(self) -> None:
        stats = {"ai@a": {"pool": {"implementation": "celery.concurrency.thread:TaskPool", "max-concurrency": 16}}}
        queues = {"ai@a": [{"name": "ai", "exchange": {}}]}
        task = {"id": "c-2", "name": "procos.ai_query", "delivery_info": {"routing_key": "ai"}, "kwargs": {}}
        assert workers_in(stats, queues, {"ai@a": [task, task]}) == [AI]

    @pytest.mark.parametrize("answer", [{}, {"pool": None}, {"pool": {"implementation": 7, "max-concurrency": "N/A"}}])
    def test_of_others_may_lack_anything(self, answer: dict[str, Any]) -> None:
        (worker,) = workers_in({"x": answer}, {}, {"x": None})
        assert (worker.queues, worker.concurrency, worker.runs) == ((), 0, ())


class TestCeleryFleet:
    def test_says_that_the_broker_is_away_and_where_without_the_password(self) -> None:
        fleet = CeleryFleet(load_settings({"PROCOS_BROKER_URL": "amqp://guest:secret@127.0.0.1:9//"}, dotenv=None))
        for question in (fleet.workers, lambda: fleet.depths(["ai"])):
            with pytest.raises(BrokerUnreachableError) as raised:
                question()
            assert "secret" not in str(raised.value)

    def test_does_not_know_what_is_in_flight_while_redis_is_away(self) -> None:
        settings = load_settings({"PROCOS_REDIS_URL": "redis://127.0.0.1:9/0"}, dotenv=None)
        assert CeleryFleet(settings).in_flight(["ai"]) is None
