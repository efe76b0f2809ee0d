"""The engine's rules that the bridge's decisions rest on, each in memory and on a real Camunda 7 engine."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import EngineRejectedError, LeaseLostError, TaskGoneError
from procos.engine.subscription import Subscription
from tests.contract.engine_labs import AFTER_SHORT, LONG, SHORT, fetch

if TYPE_CHECKING:
    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.engine.protocol import Engine
    from tests.contract.engine_labs import EngineLab

AT_ONCE = timedelta(0)
HOUR = timedelta(hours=1)


def fail(
    engine: Engine, task: ExternalTaskId, *, retries: int, retry_in: timedelta = LONG, message: str = "no"
) -> None:
    engine.fail(task, "me", message=message, details=message, retries=retries, retry_in=retry_in)


def fetched(lab: EngineLab, *, lock: timedelta = LONG) -> ExternalTask:
    topic = lab.topic()
    lab.start(topic)
    (task,) = fetch(lab, topic, lock=lock)
    return task


def expires(lab: EngineLab, task: ExternalTask) -> float:
    lease = lab.engine.find(task.id).lease
    assert lease is not None
    return lease.expires.timestamp()


class TestFetch:
    def test_brings_the_oldest_first_among_equal_priorities(self, lab: EngineLab) -> None:
        topic = lab.topic()
        ids = []
        for _ in range(3):
            ids.append(lab.start(topic))
            lab.pass_time(0.01)
        assert [task.id for task in fetch(lab, topic, max_tasks=2)] == ids[:2]
        assert [task.id for task in fetch(lab, topic)] == ids[2:]

    def test_of_several_topics_keeps_to_the_limit_in_all(self, lab: EngineLab) -> None:
        topics = [lab.topic() for _ in range(2)]
        for topic in topics:
            lab.start(topic)
            lab.start(topic)
        subscriptions = [Subscription(topic=topic, lock_duration=LONG) for topic in topics]
        first = lab.engine.fetch_and_lock("me", subscriptions, max_tasks=3, wait=AT_ONCE)
        rest = lab.engine.fetch_and_lock("me", subscriptions, max_tasks=3, wait=AT_ONCE)
        assert (len(first), len(rest)) == (3, 1)

    def test_of_no_topic_or_of_none_at_most_brings_nothing(self, lab: EngineLab) -> None:
        topic = lab.topic()
        lab.start(topic)
        assert list(lab.engine.fetch_and_lock("me", [], max_tasks=5, wait=AT_ONCE)) == []
        assert list(fetch(lab, topic, max_tasks=0)) == []
        assert len(fetch(lab, topic)) == 1

    @pytest.mark.parametrize("lock", [AT_ONCE, -LONG])
    def test_refuses_a_lock_that_lasts_no_time(self, lab: EngineLab, lock: timedelta) -> None:
        topic = lab.topic()
        lab.start(topic)
        with pytest.raises(EngineRejectedError) as refusal:
            fetch(lab, topic, lock=lock)
        assert refusal.value.status == 500

    def test_refuses_to_wait_for_more_than_half_an_hour(self, lab: EngineLab) -> None:
        subscription = Subscription(topic=lab.topic(), lock_duration=LONG)
        with pytest.raises(EngineRejectedError) as refusal:
            lab.engine.fetch_and_lock("me", [subscription], max_tasks=1, wait=HOUR)
        assert refusal.value.status == 400

    def test_knows_no_count_of_retries_before_the_first_failure(self, lab: EngineLab) -> None:
        assert fetched(lab).retries is None


class TestExpiredLock:
    def test_still_takes_a_failure_and_a_bpmn_error_of_its_holder(self, lab: EngineLab) -> None:
        topic = lab.topic()
        failing, throwing = lab.start(topic), lab.start(topic, catches=["CAUGHT"])
        fetch(lab, topic, lock=SHORT)
        lab.pass_time(AFTER_SHORT)
        fail(lab.engine, failing, retries=2)
        lab.engine.raise_bpmn_error(throwing, "me", code="CAUGHT", message="m", variables={})
        assert lab.engine.find(failing).retries == 2
        with pytest.raises(TaskGoneError):
            lab.engine.find(throwing)

    def test_may_be_locked_anew_by_its_holder_and_then_extended(self, lab: EngineLab) -> None:
        task = fetched(lab, lock=SHORT)
        lab.pass_time(AFTER_SHORT)
        lab.engine.lock(task.id, "me", LONG)
        lab.engine.extend(task.id, "me", HOUR)
        assert expires(lab, task) > (task.lease.expires.timestamp() if task.lease else 0) + 3000

    def test_refuses_the_old_holder_once_another_has_locked_it(self, lab: EngineLab) -> None:
        task = fetched(lab, lock=SHORT)
        lab.pass_time(AFTER_SHORT)
        lab.engine.lock(task.id, "other", LONG)
        for call in (lab.engine.lock, lab.engine.extend):
            with pytest.raises(LeaseLostError):
                call(task.id, "me", LONG)
        with pytest.raises(LeaseLostError):
            lab.engine.complete(task.id, "me", {})


class TestFailure:
    def test_turns_the_lock_into_the_retry_timer(self, lab: EngineLab) -> None:
        task = fetched(lab)
        before = expires(lab, task)
        fail(lab.engine, task.id, retries=2, retry_in=HOUR)
        assert expires(lab, task) == pytest.approx(before + 3600 - LONG.total_seconds(), abs=5)
        assert fetch(lab, task.topic, "other") == []

    def test_is_taken_a_second_time_from_the_same_holder(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=2)
        fail(lab.engine, task.id, retries=2)
        assert lab.engine.find(task.id).retries == 2

    def test_leaves_the_step_to_its_holder_alone(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=2)
        with pytest.raises(LeaseLostError):
            lab.engine.complete(task.id, "other", {})

    def test_is_cut_short_by_a_lock_of_the_holder(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=2, retry_in=HOUR)
        lab.engine.lock(task.id, "me", SHORT)
        lab.pass_time(AFTER_SHORT)
        assert [again.retries for again in fetch(lab, task.topic, "other")] == [2]

    def test_is_cut_short_by_an_unlock(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=2, retry_in=HOUR)
        lab.engine.unlock(task.id)
        assert [again.retries for again in fetch(lab, task.topic, "other")] == [2]

    def test_that_may_be_tried_at_once_is_offered_at_once(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=2, retry_in=AT_ONCE)
        lab.pass_time(0.01)
        assert len(fetch(lab, task.topic, "other")) == 1

    def test_refuses_a_negative_count_of_retries(self, lab: EngineLab) -> None:
        task = fetched(lab)
        with pytest.raises(EngineRejectedError) as refusal:
            fail(lab.engine, task.id, retries=-1)
        assert refusal.value.status == 500
        assert lab.engine.find(task.id).retries is None


class TestIncident:
    def test_is_made_when_none_are_left_of_an_unknown_count(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=0, message="first")
        assert lab.incidents(task.id) == ["first"]

    def test_is_made_when_none_are_left_of_some(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=1)
        assert lab.incidents(task.id) == []
        fail(lab.engine, task.id, retries=0, message="second")
        assert lab.incidents(task.id) == ["second"]

    def test_is_not_made_twice(self, lab: EngineLab) -> None:
        task = fetched(lab)
        for message in ("first", "second"):
            fail(lab.engine, task.id, retries=0, message=message)
        assert lab.incidents(task.id) == ["first"]

    def test_ends_when_an_operator_gives_it_retries_and_may_come_again(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=0, retry_in=AT_ONCE)
        lab.set_retries(task.id, 1)
        assert lab.incidents(task.id) == []
        lab.pass_time(0.01)
        assert [again.retries for again in fetch(lab, task.topic)] == [1]
        fail(lab.engine, task.id, retries=0, message="again")
        assert lab.incidents(task.id) == ["again"]

    def test_ends_when_a_failure_leaves_retries(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=0)
        fail(lab.engine, task.id, retries=1)
        assert lab.incidents(task.id) == []

    def test_ends_with_the_step(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=0)
        lab.engine.complete(task.id, "me", {})
        assert lab.incidents(task.id) == []

    def test_does_not_keep_the_step_from_being_locked(self, lab: EngineLab) -> None:
        task = fetched(lab)
        fail(lab.engine, task.id, retries=0, retry_in=AT_ONCE)
        lab.pass_time(0.01)
        lab.engine.lock(task.id, "other", LONG)
        assert lab.engine.find(task.id).retries == 0


class TestSuspended:
    def test_lets_a_lock_be_taken_and_cleared(self, lab: EngineLab) -> None:
        task = fetched(lab)
        lab.suspend(task.id)
        lab.engine.lock(task.id, "me", HOUR)
        assert expires(lab, task) > (task.lease.expires.timestamp() if task.lease else 0)
        lab.engine.unlock(task.id)
        assert lab.engine.find(task.id).lease is None

    def test_is_listed_and_found_like_others(self, lab: EngineLab) -> None:
        task = fetched(lab)
        lab.suspend(task.id)
        assert lab.engine.which_exist([task.id]) == {task.id}
        assert lab.engine.find(task.id).suspended


class TestLock:
    @pytest.mark.parametrize("duration", [AT_ONCE, -LONG])
    def test_that_lasts_no_time_is_refused(self, lab: EngineLab, duration: timedelta) -> None:
        task = fetched(lab)
        for call in (lab.engine.lock, lab.engine.extend):
            with pytest.raises(EngineRejectedError):
                call(task.id, "me", duration)

    def test_that_is_cleared_may_be_cleared_again(self, lab: EngineLab) -> None:
        task = fetched(lab)
        lab.engine.unlock(task.id)
        lab.engine.unlock(task.id)
        with pytest.raises(LeaseLostError):
            lab.engine.complete(task.id, "me", {})
        lab.engine.lock(task.id, "me", LONG)
        lab.engine.complete(task.id, "me", {})
