"""A dead-lettered step that is replayed: its incident is one, and ends when the task does, at both engines."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.fetched import dispatch_of
from bridge.reporter import Reporter, Verdict
from procos.domain.errors import TaskGoneError
from procos.domain.outcome import Completion, Failure
from procos.engine.processes import ModelFile
from procos.engine.subscription import Subscription
from procos.routes import ROUTES, Route
from procos.testing import FakeLedger
from procos.testing.samples import HOLDER
from tests.contract.engine_labs import model

if TYPE_CHECKING:
    from procos.domain.dispatch import DispatchRef
    from tests.contract.engine_labs import EngineLab, RealLab

LEASE = timedelta(minutes=5)
STEP_TO_END = 'sourceRef="step" targetRef="end"/>'
BY_LATER = """sourceRef="step" targetRef="later"/>
<bpmn:userTask id="later"/>
<bpmn:sequenceFlow id="on" sourceRef="later" targetRef="end"/>"""
DIED = Failure(message="delivered 6 times without an answer", code="DELIVERY_LIMIT", permanent=True)


@pytest.fixture
def reporter(lab: EngineLab) -> Reporter:
    return Reporter(lab.engine, FakeLedger(), ROUTES, is_ours=HOLDER.__eq__, stop=threading.Event())


@pytest.fixture
def ref(lab: EngineLab) -> DispatchRef:
    """A step that was dispatched."""
    topic = lab.topic()
    lab.start(topic)
    subscription = Subscription(topic=topic, lock_duration=LEASE)
    (task,) = lab.engine.fetch_and_lock(HOLDER, [subscription], max_tasks=1, wait=timedelta(0))
    return dispatch_of(task, Route(task_name="t", queue="ai", module="m")).ref


class TestReplayedStep:
    def test_has_one_incident_however_often_its_death_is_reported(
        self, lab: EngineLab, reporter: Reporter, ref: DispatchRef
    ) -> None:
        assert [reporter.report(ref, DIED) for _ in range(3)] == [Verdict.INCIDENT] * 3
        assert lab.incidents(ref.external_task_id) == [DIED.message]

    def test_ends_when_the_task_does(self, lab: EngineLab, reporter: Reporter, ref: DispatchRef) -> None:
        reporter.report(ref, DIED)
        assert reporter.report(ref, Completion(variables={"answer": 42})) is Verdict.COMPLETED
        with pytest.raises(TaskGoneError):
            lab.engine.find(ref.external_task_id)

    def test_is_completed_by_its_replay_after_the_lock_ran_out(
        self, lab: EngineLab, reporter: Reporter, ref: DispatchRef
    ) -> None:
        reporter.report(ref, DIED)
        assert lab.engine.find(ref.external_task_id).retries == 0
        lab.pass_time(1)
        assert reporter.report(ref, Completion(variables={})) is Verdict.COMPLETED


class TestIncident:
    """Of an instance that goes on after the step; the engine in memory knows steps alone."""

    def test_is_gone_when_the_replayed_task_ends(self, real_lab: RealLab) -> None:
        topic = real_lab.topic()
        content = model(topic).replace(STEP_TO_END, BY_LATER)
        real_lab.processes.deploy(topic, [ModelFile(name=f"{topic}.bpmn", content=content.encode())])
        instance = real_lab.processes.start(topic, {"priority": 0})
        subscription = Subscription(topic=topic, lock_duration=LEASE)
        (task,) = real_lab.engine.fetch_and_lock(HOLDER, [subscription], max_tasks=1, wait=timedelta(0))
        real_lab.engine.fail(task.id, HOLDER, message=DIED.message, details="", retries=0, retry_in=timedelta(0))
        assert [incident.message for incident in real_lab.processes.incidents(instance)] == [DIED.message]
        real_lab.engine.complete(task.id, HOLDER, {})
        assert real_lab.processes.incidents(instance) == []
        (waiting,) = real_lab.transport.get("/task", {"processInstanceId": instance})
        assert waiting["taskDefinitionKey"] == "later"
