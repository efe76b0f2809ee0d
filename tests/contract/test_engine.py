"""What the bridge relies on in an engine; each case holds in memory and on a real Camunda 7 engine."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import EngineRejectedError, LeaseLostError, TaskGoneError, TaskSuspendedError, VariableError
from procos.domain.external_task import ExternalTaskId
from procos.domain.variables import from_engine
from tests.contract.engine_labs import AFTER_SHORT, LONG, SHORT, fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.engine.protocol import Engine
    from tests.contract.engine_labs import EngineLab

NOW = timedelta(0)
UNKNOWN = ExternalTaskId("no-such-task")


def fail(
    engine: Engine, task: ExternalTaskId, *, retries: int, retry_in: timedelta = LONG, message: str = "no"
) -> None:
    engine.fail(task, "me", message=message, details=message, retries=retries, retry_in=retry_in)


def every_report(engine: Engine, task: ExternalTaskId, holder: str) -> list[Callable[[], None]]:
    return [
        partial(engine.complete, task, holder, {}),
        partial(engine.fail, task, holder, message="m", details="d", retries=1, retry_in=LONG),
        partial(engine.raise_bpmn_error, task, holder, code="C", message="m", variables={}),
        partial(engine.extend, task, holder, LONG),
    ]


class TestFetch:
    def test_locks_for_the_holder_and_the_duration(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        (task,) = fetch(lab, topic)
        assert task.id == task_id
        assert (task.topic, task.activity_id, task.retries) == (topic, "step", None)
        assert task.lease is not None
        assert task.lease.holder == "me"
        assert lab.engine.find(task_id).lease == task.lease

    def test_brings_nothing_twice_while_it_is_locked(self, lab: EngineLab) -> None:
        topic = lab.topic()
        lab.start(topic)
        assert len(fetch(lab, topic)) == 1
        assert fetch(lab, topic, "other") == []
        assert fetch(lab, topic) == []

    def test_brings_what_has_expired_under_a_larger_token(self, lab: EngineLab) -> None:
        topic = lab.topic()
        lab.start(topic)
        (first,) = fetch(lab, topic, lock=SHORT)
        lab.pass_time(AFTER_SHORT)
        (second,) = fetch(lab, topic, "other", lock=SHORT)
        assert first.lease is not None
        assert second.lease is not None
        assert second.lease.token > first.lease.token

    def test_brings_the_highest_priority_first(self, lab: EngineLab) -> None:
        topic = lab.topic()
        ids = {priority: lab.start(topic, priority=priority) for priority in (1, 9, 5)}
        assert [task.id for task in fetch(lab, topic, max_tasks=2)] == [ids[9], ids[5]]

    def test_brings_the_variables_that_were_named(self, lab: EngineLab) -> None:
        topic = lab.topic()
        for _ in range(3):
            lab.start(topic, variables={"a": 1, "b": "two"})
        (named,) = fetch(lab, topic, variables=("a", "missing"), max_tasks=1)
        (none,) = fetch(lab, topic, variables=(), max_tasks=1)
        (everything,) = fetch(lab, topic, max_tasks=1)
        assert set(named.variables) == {"a"}
        assert set(none.variables) == set()
        assert set(everything.variables) == {"a", "b", "priority"}

    def test_leaves_out_suspended_instances(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        lab.suspend(task_id)
        assert fetch(lab, topic) == []
        assert lab.engine.find(task_id).suspended
        lab.suspend(task_id, suspended=False)
        assert len(fetch(lab, topic)) == 1


class TestGone:
    @pytest.mark.parametrize("number", range(4))
    def test_is_said_of_an_unknown_task_by_every_report(self, lab: EngineLab, number: int) -> None:
        with pytest.raises(TaskGoneError):
            every_report(lab.engine, UNKNOWN, "me")[number]()

    def test_is_said_by_every_other_call(self, lab: EngineLab) -> None:
        for call in (
            partial(lab.engine.find, UNKNOWN),
            partial(lab.engine.unlock, UNKNOWN),
            partial(lab.engine.lock, UNKNOWN, "me", LONG),
        ):
            with pytest.raises(TaskGoneError):
                call()

    def test_is_said_of_a_step_that_was_cancelled(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        lab.cancel(task_id)
        with pytest.raises(TaskGoneError):
            lab.engine.complete(task_id, "me", {})


class TestHolder:
    @pytest.mark.parametrize("number", range(4))
    def test_must_be_the_one_who_locked(self, lab: EngineLab, number: int) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        with pytest.raises(LeaseLostError):
            every_report(lab.engine, task_id, "other")[number]()

    @pytest.mark.parametrize("number", range(4))
    def test_must_have_locked_at_all(self, lab: EngineLab, number: int) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        with pytest.raises(LeaseLostError):
            every_report(lab.engine, task_id, "me")[number]()

    def test_may_complete_after_expiry_while_nobody_took_it(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic, lock=SHORT)
        lab.pass_time(AFTER_SHORT)
        lab.engine.complete(task_id, "me", {"a": 1})
        with pytest.raises(TaskGoneError):
            lab.engine.find(task_id)

    def test_may_not_after_somebody_else_took_it(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic, lock=SHORT)
        lab.pass_time(AFTER_SHORT)
        fetch(lab, topic, "other")
        with pytest.raises(LeaseLostError):
            lab.engine.complete(task_id, "me", {})


class TestSuspended:
    @pytest.mark.parametrize("number", range(4))
    def test_takes_no_report(self, lab: EngineLab, number: int) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        lab.suspend(task_id)
        with pytest.raises(TaskSuspendedError):
            every_report(lab.engine, task_id, "me")[number]()


class TestFail:
    def test_sets_the_retries_and_keeps_the_holder(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        fail(lab.engine, task_id, retries=2)
        task = lab.engine.find(task_id)
        assert task.retries == 2
        assert task.lease is not None
        assert task.lease.holder == "me"
        assert lab.incidents(task_id) == []

    def test_offers_the_step_again_after_the_retry_time(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        fail(lab.engine, task_id, retries=2, retry_in=SHORT)
        assert fetch(lab, topic) == []
        lab.pass_time(AFTER_SHORT)
        (again,) = fetch(lab, topic)
        assert (again.id, again.retries) == (task_id, 2)

    def test_still_takes_a_completion_while_it_backs_off(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        fail(lab.engine, task_id, retries=2)
        lab.engine.complete(task_id, "me", {})
        with pytest.raises(TaskGoneError):
            lab.engine.find(task_id)

    def test_without_retries_makes_one_incident_and_offers_it_no_more(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        fail(lab.engine, task_id, retries=0, retry_in=NOW, message="no key")
        fail(lab.engine, task_id, retries=0, retry_in=NOW, message="no key")
        assert lab.incidents(task_id) == ["no key"]
        assert fetch(lab, topic) == []

    def test_keeps_the_variables_it_brings(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        lab.engine.fail(task_id, "me", message="no", details="no", retries=2, retry_in=NOW, variables={"last": "no"})
        (again,) = fetch(lab, topic)
        assert again.variables["last"].value == "no"

    def test_cuts_a_long_message(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        fail(lab.engine, task_id, retries=0, message="x" * 5000)
        assert lab.incidents(task_id) == ["x" * 666]

    def test_refuses_a_time_in_the_past(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        with pytest.raises(EngineRejectedError):
            fail(lab.engine, task_id, retries=1, retry_in=-LONG)


class TestBpmnError:
    def test_that_is_caught_ends_the_step(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic, catches=["REFUSED"])
        fetch(lab, topic)
        lab.engine.raise_bpmn_error(task_id, "me", code="REFUSED", message="no", variables={"why": "x"})
        with pytest.raises(TaskGoneError):
            lab.engine.find(task_id)

    def test_that_nothing_catches_is_refused_and_leaves_the_step_as_it_was(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic, catches=["REFUSED"])
        (task,) = fetch(lab, topic)
        with pytest.raises(EngineRejectedError) as refusal:
            lab.engine.raise_bpmn_error(task_id, "me", code="SURPRISE", message="no", variables={})
        assert refusal.value.status == 500
        assert lab.engine.find(task_id).lease == task.lease


class TestExtend:
    def test_counts_from_now(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        (task,) = fetch(lab, topic)
        lab.engine.extend(task_id, "me", SHORT)
        lease = lab.engine.find(task_id).lease
        assert task.lease is not None
        assert lease is not None
        assert lease.expires < task.lease.expires
        lab.pass_time(AFTER_SHORT)
        assert len(fetch(lab, topic)) == 1

    def test_refuses_what_has_expired(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic, lock=SHORT)
        lab.pass_time(AFTER_SHORT)
        with pytest.raises(LeaseLostError):
            lab.engine.extend(task_id, "me", LONG)


class TestLock:
    def test_renews_the_holders_own(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        (task,) = fetch(lab, topic, lock=timedelta(minutes=1))
        lab.engine.lock(task_id, "me", LONG)
        lease = lab.engine.find(task_id).lease
        assert lease is not None
        assert task.lease is not None
        assert lease.expires > task.lease.expires

    def test_takes_what_is_free_or_expired(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        for holder in ("me", "other"):
            lab.engine.lock(task_id, holder, SHORT)
            lab.pass_time(AFTER_SHORT)
        lease = lab.engine.find(task_id).lease
        assert lease is not None
        assert lease.holder == "other"

    def test_refuses_what_another_holds(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic, "other")
        with pytest.raises(LeaseLostError):
            lab.engine.lock(task_id, "me", LONG)


class TestUnlock:
    def test_gives_the_step_back_at_once(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        lab.engine.unlock(task_id)
        assert lab.engine.find(task_id).lease is None
        assert len(fetch(lab, topic, "other")) == 1


class TestComplete:
    def test_refuses_a_value_no_variable_can_hold_and_leaves_the_step(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        with pytest.raises(VariableError, match="'bad'"):
            lab.engine.complete(task_id, "me", {"good": 1, "bad": float("nan")})
        assert lab.engine.find(task_id).id == task_id

    def test_hands_variables_as_they_were_given(self, lab: EngineLab) -> None:
        topic = lab.topic()
        values = {"text": "naïve", "number": 2**40, "list": [1, None, {"a": "b"}], "nothing": None, "flag": True}
        lab.start(topic, variables=values)
        (task,) = fetch(lab, topic)
        read = {name: from_engine(name, value) for name, value in task.variables.items()}
        assert {name: read[name] for name in values} == values
