"""FakeEngine: the faults a test can put in the way of its calls, and what a test may ask it."""

from __future__ import annotations

from datetime import timedelta

import pytest

import procos.testing
from procos.domain.errors import EngineBusyError, EngineUnreachableError, TaskGoneError
from procos.domain.external_task import Topic
from procos.engine.subscription import Subscription
from procos.testing import FakeEngine

LOCK = timedelta(minutes=5)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def fetch(engine: FakeEngine) -> list[str]:
    subscription = Subscription(topic=Topic("ai_query"), lock_duration=LOCK)
    return [task.id for task in engine.fetch_and_lock("me", [subscription], max_tasks=9, wait=timedelta(0))]


class TestFaults:
    def test_a_lost_answer_is_of_a_call_that_did_its_work(self, engine: FakeEngine) -> None:
        task_id = engine.add()
        engine.lose_answer_of_next()
        with pytest.raises(EngineUnreachableError, match="before the answer came"):
            fetch(engine)
        assert fetch(engine) == []
        engine.lose_answer_of_next()
        with pytest.raises(EngineUnreachableError):
            engine.complete(task_id, "me", {"a": 1})
        assert engine.completed == {task_id: {"a": 1}}
        with pytest.raises(TaskGoneError):
            engine.complete(task_id, "me", {"a": 1})

    def test_several_answers_may_be_lost(self, engine: FakeEngine) -> None:
        engine.lose_answer_of_next(2)
        for _ in range(2):
            with pytest.raises(EngineUnreachableError):
                fetch(engine)
        assert fetch(engine) == []

    def test_an_engine_that_is_down_does_nothing(self, engine: FakeEngine) -> None:
        engine.add()
        engine.is_down = True
        with pytest.raises(EngineUnreachableError, match="connection refused"):
            fetch(engine)
        engine.is_down = False
        assert len(fetch(engine)) == 1

    def test_a_refused_call_does_nothing_and_the_next_may_pass(self, engine: FakeEngine) -> None:
        engine.add()
        engine.refuse_next(None, EngineBusyError("busy", status=503))
        assert engine.open_topics() == ["ai_query"]
        with pytest.raises(EngineBusyError):
            fetch(engine)
        assert len(fetch(engine)) == 1

    def test_a_slow_engine_moves_the_clock_before_it_acts(self, engine: FakeEngine) -> None:
        task_id = engine.add()
        engine.latency = timedelta(seconds=2)
        before = engine.clock.now()
        fetch(engine)
        lease = engine.open_tasks()[0].lease
        assert lease is not None
        assert lease.expires == before + timedelta(seconds=2) + LOCK
        assert engine.open_tasks()[0].id == task_id

    def test_all_faults_end_at_once(self, engine: FakeEngine) -> None:
        engine.is_down, engine.latency = True, timedelta(hours=1)
        engine.refuse_next(EngineBusyError("busy", status=503))
        engine.lose_answer_of_next()
        engine.have_no_faults()
        before = engine.clock.now()
        assert fetch(engine) == []
        assert engine.clock.now() == before

    def test_every_call_is_noted(self, engine: FakeEngine) -> None:
        task_id = engine.add()
        fetch(engine)
        engine.complete(task_id, "me", {})
        assert engine.calls == ["fetch_and_lock", "complete"]


class TestNames:
    @pytest.mark.parametrize("name", procos.testing.__all__)
    def test_are_where_they_are_said_to_be(self, name: str) -> None:
        assert getattr(procos.testing, name).__name__ == name

    def test_that_are_unknown_are_refused(self) -> None:
        with pytest.raises(AttributeError, match="FakeEngin'"):
            procos.testing.FakeEngin  # noqa: B018  # the point
