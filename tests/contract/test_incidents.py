"""Incidents, retries and the backlog, as a real engine has them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from procos.cli.incidents import incidents
from procos.cli.retry import retry
from procos.engine.backlog import Backlog, backlog_of
from procos.engine.incidents import JOB, Incidents
from procos.engine.processes import ModelFile
from procos.engine.subscription import Subscription
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.testing import Result

    from procos.domain.external_task import ExternalTask, ProcessInstanceId, Topic
    from procos.engine.incidents import OpenIncident
    from procos.settings import Settings
    from tests.contract.engine_labs import RealLab

MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:process id="{key}" isExecutable="true">
  <bpmn:startEvent id="start"/>
  <bpmn:sequenceFlow id="in" sourceRef="start" targetRef="element"/>
  {element}
  <bpmn:sequenceFlow id="out" sourceRef="element" targetRef="end"/>
  <bpmn:endEvent id="end"/>
</bpmn:process>
</bpmn:definitions>"""
CALL = '<bpmn:callActivity id="element" calledElement="{called}"/>'
TIMER = """<bpmn:intermediateCatchEvent id="element"><bpmn:timerEventDefinition>
  <bpmn:timeDuration>PT1H</bpmn:timeDuration>
</bpmn:timerEventDefinition></bpmn:intermediateCatchEvent>"""


@pytest.fixture
def topic(real_lab: RealLab) -> Topic:
    return real_lab.topic()


@pytest.fixture
def ours(real_lab: RealLab, topic: Topic) -> Callable[[], Sequence[OpenIncident]]:
    """The incidents of this test; the engine has those of others too."""
    return lambda: [each for each in Incidents(real_lab.transport).open() if topic in each.processes]


@pytest.fixture
def command(engine_settings: Settings, tmp_path: object) -> Callable[..., Result]:
    engine = engine_settings.engine
    assert engine.user
    assert engine.password
    environment = {
        "PROCOS_STATE_DIRECTORY": str(tmp_path),
        "PROCOS_ENGINE_URL": engine.url,
        "PROCOS_ENGINE_USER": engine.user,
        "PROCOS_ENGINE_PASSWORD": engine.password.get_secret_value(),
    }
    return lambda which, *arguments: CliRunner(env=environment).invoke(which, arguments)


def fetched(lab: RealLab, topic: Topic) -> Sequence[ExternalTask]:
    subscription = Subscription(topic=topic, lock_duration=timedelta(minutes=1))
    return lab.engine.fetch_and_lock("me", [subscription], max_tasks=10, wait=timedelta(0))


def fail(lab: RealLab, topic: Topic, message: str = "no way") -> None:
    for task in fetched(lab, topic):
        lab.engine.fail(task.id, "me", message=message, details=message, retries=0, retry_in=timedelta(0))


def start(lab: RealLab, key: str, element: str, **options: Any) -> ProcessInstanceId:
    lab.processes.deploy(key, [ModelFile(name=f"{key}.bpmn", content=MODEL.format(key=key, element=element).encode())])
    return lab.processes.start(key, {"priority": 0}, **options)


class TestIncidents:
    def test_name_process_instance_step_and_message(
        self, real_lab: RealLab, topic: Topic, ours: Callable[[], Sequence[OpenIncident]]
    ) -> None:
        task_id = real_lab.start(topic)
        fail(real_lab, topic, "the provider does not answer")
        (found,) = ours()
        assert (found.process_key, found.activity_id, found.topic) == (topic, "step", topic)
        assert found.external_task_id == task_id
        assert found.message == "the provider does not answer"
        assert abs(datetime.now(UTC) - found.since) < timedelta(minutes=1)

    def test_stand_once_and_know_the_processes_above(
        self, real_lab: RealLab, topic: Topic, ours: Callable[[], Sequence[OpenIncident]]
    ) -> None:
        real_lab.start(topic)
        fail(real_lab, topic)
        caller = f"calls-{topic}"
        instance = start(real_lab, caller, CALL.format(called=topic), business_key="order-17")
        fail(real_lab, topic)
        above = [each for each in ours() if caller in each.processes]
        assert len(ours()) == 2
        assert [each.process_key for each in above] == [topic]
        assert instance in above[0].instances
        assert above[0].process_instance_id != instance

    def test_are_those_of_failed_jobs_too(self, real_lab: RealLab, topic: Topic) -> None:
        instance = start(real_lab, f"job-{topic}", TIMER, business_key="order-18")
        (job,) = real_lab.transport.get("/job", {"processInstanceId": instance})
        real_lab.transport.put(f"/job/{job['id']}/retries", {"retries": 0})
        (found,) = (each for each in Incidents(real_lab.transport).open() if instance in each.instances)
        assert (found.kind, found.job_id, found.external_task_id) == (JOB, job["id"], None)
        assert found.business_key == "order-18"
        real_lab.transport.delete(f"/process-instance/{instance}")

    def test_are_all_there_on_several_pages(
        self,
        real_lab: RealLab,
        topic: Topic,
        ours: Callable[[], Sequence[OpenIncident]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for _ in range(3):
            real_lab.start(topic)
        fail(real_lab, topic)
        monkeypatch.setattr("procos.engine.incidents.PAGE", 1)
        assert len({each.external_task_id for each in ours()}) == 3


class TestCommands:
    def test_list_a_step_and_let_it_be_tried_again(
        self, real_lab: RealLab, topic: Topic, command: Callable[..., Result]
    ) -> None:
        task_id = real_lab.start(topic)
        fail(real_lab, topic)
        (row,) = json.loads(command(incidents, "--process", topic, "--json").stdout)
        assert fetched(real_lab, topic) == []

        result = command(retry, row["process_instance_id"], "--retries", "2")

        assert result.exit_code == 0, result.output
        (again,) = fetched(real_lab, topic)
        assert (again.id, again.retries) == (task_id, 2)
        assert json.loads(command(incidents, "--process", topic, "--json").stdout) == []

    def test_try_a_job_again(self, real_lab: RealLab, topic: Topic, command: Callable[..., Result]) -> None:
        key = f"job-{topic}"
        instance = start(real_lab, key, TIMER)
        (job,) = real_lab.transport.get("/job", {"processInstanceId": instance})
        real_lab.transport.put(f"/job/{job['id']}/retries", {"retries": 0})
        assert command(retry, "--all", "--process", key).exit_code == 0
        assert real_lab.transport.get(f"/job/{job['id']}")["retries"] > 0
        real_lab.transport.delete(f"/process-instance/{instance}")

    def test_say_why_there_is_nothing_to_retry(
        self, real_lab: RealLab, topic: Topic, command: Callable[..., Result]
    ) -> None:
        task_id = real_lab.start(topic)
        (task,) = fetched(real_lab, topic)
        instance = task.process_instance_id
        running = command(retry, task_id, instance, "nobody", "../..", "")
        real_lab.engine.complete(task_id, "me", {})
        ended = command(retry, task_id, instance)
        assert (running.exit_code, ended.exit_code) == (1, 1)
        assert "this external task has no incident" in running.stdout
        assert f"this instance of {topic} has no open incident" in running.stdout
        assert running.stdout.count("neither a process instance nor an open external task") == 3
        assert "has ended: COMPLETED" in ended.stdout


class TestBacklog:
    def test_counts_what_is_open_locked_and_out_of_retries(self, real_lab: RealLab, topic: Topic) -> None:
        real_lab.start(topic)
        fail(real_lab, topic)
        real_lab.start(topic)
        fetched(real_lab, topic)
        for _ in range(3):
            real_lab.start(topic)
        named, _ = backlog_of(real_lab.transport, [topic])
        found = named[topic]
        assert (found.open, found.locked, found.retries_exhausted) == (3, 1, 1)
        assert found.oldest is not None
        assert timedelta(0) <= datetime.now(UTC) - found.oldest < timedelta(minutes=1)

    def test_knows_nothing_of_a_topic_nobody_uses(self, real_lab: RealLab, topic: Topic) -> None:
        named, _ = backlog_of(real_lab.transport, [topic])
        assert named[topic] == Backlog()

    def test_counts_what_no_named_topic_has(self, real_lab: RealLab, topic: Topic) -> None:
        _, before = backlog_of(real_lab.transport, [topic])
        real_lab.start(real_lab.topic())
        real_lab.start(topic)
        _, after = backlog_of(real_lab.transport, [topic])
        assert after.open == before.open + 1

    def test_shows_a_step_as_open_again_when_its_lock_has_run_out(self, real_lab: RealLab, topic: Topic) -> None:
        real_lab.start(topic)
        subscription = Subscription(topic=topic, lock_duration=timedelta(milliseconds=200))
        real_lab.engine.fetch_and_lock("me", [subscription], max_tasks=1, wait=timedelta(0))
        wait_until(lambda: backlog_of(real_lab.transport, [topic])[0][topic].open == 1, 10, what="the lock has run out")
