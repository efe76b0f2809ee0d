"""What the bridge asks an engine about, in memory and on a real one: whose, which, how ended, and whose not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos.domain.external_task import ExternalTaskId
from procos.engine.subscription import Filter
from tests.contract.engine_labs import AFTER_SHORT, LONG, SHORT, Origin, fetch

if TYPE_CHECKING:
    from tests.contract.engine_labs import EngineLab

UNKNOWN = ExternalTaskId("no-such-task")


class TestOpenTopics:
    def test_are_those_of_steps_that_could_be_fetched(self, lab: EngineLab) -> None:
        free, held, failed = lab.topic(), lab.topic(), lab.topic()
        lab.start(free)
        lab.start(held)
        given_up = lab.start(failed)
        fetch(lab, held)
        fetch(lab, failed)
        lab.engine.fail(given_up, "me", message="no", details="no", retries=0, retry_in=timedelta(0))
        assert {free, held, failed} & set(lab.engine.open_topics()) == {free}


class TestHeldBy:
    def test_lists_what_the_holder_locked_last_whether_or_not_it_ran_out(self, lab: EngineLab) -> None:
        topic, holder = lab.topic(), f"me-{lab.topic()}"
        expired, held, strangers = (lab.start(topic, variables={"a": 1}) for _ in range(3))
        lab.engine.lock(expired, holder, SHORT)
        lab.engine.lock(held, holder, LONG)
        lab.engine.lock(strangers, "other", LONG)
        lab.pass_time(AFTER_SHORT)
        listed = lab.engine.held_by(holder)
        assert [task.id for task in listed] == sorted([expired, held])
        assert [dict(task.variables) for task in listed] == [{}, {}]

    def test_leaves_out_what_was_given_back_or_has_ended(self, lab: EngineLab) -> None:
        topic, holder = lab.topic(), f"me-{lab.topic()}"
        ids = [lab.start(topic) for _ in range(3)]
        fetch(lab, topic, holder)
        lab.engine.unlock(ids[0])
        lab.engine.complete(ids[1], holder, {})
        assert [task.id for task in lab.engine.held_by(holder)] == [ids[2]]

    def test_lists_what_failed_and_waits_for_its_retry(self, lab: EngineLab) -> None:
        topic, holder = lab.topic(), f"me-{lab.topic()}"
        task_id = lab.start(topic)
        fetch(lab, topic, holder)
        lab.engine.fail(task_id, holder, message="m", details="d", retries=1, retry_in=LONG)
        assert [task.retries for task in lab.engine.held_by(holder)] == [1]


class TestWhichExist:
    def test_names_those_that_are_open(self, lab: EngineLab) -> None:
        topic = lab.topic()
        free, held, done = (lab.start(topic) for _ in range(3))
        lab.engine.lock(held, "me", LONG)
        lab.engine.lock(done, "me", LONG)
        lab.engine.complete(done, "me", {})
        assert lab.engine.which_exist({free, held, done, UNKNOWN}) == {free, held}

    def test_asks_for_any_number(self, lab: EngineLab) -> None:
        task_id = lab.start(lab.topic())
        strangers = {ExternalTaskId(f"{UNKNOWN}-{number}") for number in range(1200)}
        assert lab.engine.which_exist(strangers | {task_id}) == {task_id}
        assert lab.engine.which_exist(()) == frozenset()


class TestHasCompleted:
    def test_is_true_of_a_step_whose_result_was_taken(self, lab: EngineLab) -> None:
        topic = lab.topic()
        task_id = lab.start(topic)
        fetch(lab, topic)
        assert not lab.engine.has_completed(task_id)
        lab.engine.complete(task_id, "me", {})
        assert lab.engine.has_completed(task_id)

    def test_is_false_of_a_step_that_was_cancelled_or_never_was(self, lab: EngineLab) -> None:
        task_id = lab.start(lab.topic())
        lab.cancel(task_id)
        assert not lab.engine.has_completed(task_id)
        assert not lab.engine.has_completed(UNKNOWN)


WANTED = Origin(tenant="north", process_key="filtered-orders", business_key="order-1")


class TestFilter:
    @pytest.mark.parametrize(
        ("only", "others"),
        [
            pytest.param(Filter(tenants=("north", "south")), Origin(tenant="west"), id="of-another-tenant"),
            pytest.param(Filter(tenants=("north",)), Origin(), id="of-no-tenant"),
            pytest.param(Filter(process_keys=("x", "filtered-orders")), Origin(), id="of-another-process"),
            pytest.param(Filter(business_key="order-1"), Origin(business_key="order-2"), id="of-another-business-key"),
            pytest.param(Filter(business_key="order-1"), Origin(), id="of-no-business-key"),
        ],
    )
    def test_leaves_the_steps_to_others(self, lab: EngineLab, only: Filter, others: Origin) -> None:
        topic = lab.topic()
        wanted = lab.start(topic, origin=WANTED)
        lab.start(topic, origin=others)
        assert [task.id for task in fetch(lab, topic, only=only)] == [wanted]
        assert len(fetch(lab, topic)) == 1

    def test_wants_everything_it_names_to_hold(self, lab: EngineLab) -> None:
        topic = lab.topic()
        lab.start(topic, origin=WANTED)
        assert fetch(lab, topic, only=Filter(tenants=("north",), business_key="order-2")) == []
        only = Filter(tenants=("north",), process_keys=("filtered-orders",), business_key="order-1")
        assert len(fetch(lab, topic, only=only)) == 1
