"""Lists of reports: one call, an answer for each, and a bad one that costs its neighbours nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import EngineRejectedError, LeaseLostError, TaskGoneError, TaskSuspendedError, VariableError
from procos.domain.external_task import ExternalTaskId
from procos.engine.reports import Complete, Fail, Throw
from tests.contract.engine_labs import FakeLab, fetch

if TYPE_CHECKING:
    from procos.engine.reports import Report
    from tests.contract.engine_labs import EngineLab, RealLab

RETRY_IN = timedelta(seconds=30)


def complete(task: ExternalTaskId, holder: str = "me", **variables: object) -> Complete:
    return Complete(external_task_id=task, holder=holder, variables=variables)


def fail(task: ExternalTaskId, retries: int) -> Fail:
    return Fail(external_task_id=task, holder="me", message="no", details="why", retries=retries, retry_in=RETRY_IN)


def throw(task: ExternalTaskId, code: str) -> Throw:
    return Throw(external_task_id=task, holder="me", code=code, message="no")


@pytest.fixture(params=["fake", "real"])
def lab(request: pytest.FixtureRequest) -> EngineLab:
    lab: EngineLab = request.getfixturevalue("real_lab") if request.param == "real" else FakeLab()
    return lab


def steps(lab: EngineLab, count: int) -> list[ExternalTaskId]:
    """Let instances arrive at a step, all of them ours."""
    topic = lab.topic()
    tasks = [lab.start(topic, catches=["CAUGHT"]) for _ in range(count)]
    fetch(lab, topic, max_tasks=count)
    return tasks


def kinds(lab: EngineLab, *reports: Report) -> list[type]:
    return [type(answer) for answer in lab.engine.report(reports)]


NOTHING = type(None)


class TestList:
    def test_has_every_verb(self, lab: EngineLab) -> None:
        done, retried, failed, thrown = tasks = steps(lab, 4)
        reports: list[Report] = [complete(done, answer=42), fail(retried, 2), fail(failed, 0), throw(thrown, "CAUGHT")]
        assert kinds(lab, *reports) == [NOTHING] * 4
        assert lab.engine.which_exist(tasks) == {retried, failed}
        assert [lab.engine.find(task).retries for task in (retried, failed)] == [2, 0]
        assert lab.incidents(failed) == ["no"]
        assert lab.engine.has_completed(done)
        assert not lab.engine.has_completed(thrown)

    def test_is_taken_but_for_the_bad_ones(self, lab: EngineLab) -> None:
        first, others, suspended, uncaught, last = tasks = steps(lab, 5)
        lab.suspend(suspended)
        reports: list[Report] = [
            complete(first),
            complete(ExternalTaskId("no-such-task")),
            complete(others, "other"),
            complete(suspended),
            throw(uncaught, "UNCAUGHT"),
            complete(last),
        ]
        assert kinds(lab, *reports) == [
            NOTHING, TaskGoneError, LeaseLostError, TaskSuspendedError, EngineRejectedError, NOTHING,
        ]  # fmt: skip
        assert lab.engine.which_exist(tasks) == {others, suspended, uncaught}

    def test_has_a_step_twice(self, lab: EngineLab) -> None:
        (task,) = steps(lab, 1)
        assert kinds(lab, complete(task), complete(task)) == [NOTHING, TaskGoneError]

    def test_leaves_out_what_cannot_be_written(self, lab: EngineLab) -> None:
        good, bad = steps(lab, 2)
        assert kinds(lab, complete(good), complete(bad, answer=object())) == [NOTHING, VariableError]
        assert lab.engine.which_exist([good, bad]) == {bad}


class TestLongest:
    def test_is_said_by_our_engine(self, real_lab: RealLab) -> None:
        real_lab.engine.version()
        assert real_lab.engine.longest_list == 50
        tasks = steps(real_lab, 50)
        assert kinds(real_lab, *[complete(task) for task in tasks]) == [NOTHING] * 50

    def test_is_nothing_on_a_stock_engine(self, stock_lab: RealLab) -> None:
        stock_lab.engine.version()
        assert stock_lab.engine.longest_list == 0
