"""The Python client against a real engine: what it starts, sees, cancels and tells apart."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos.client import Client
from procos.domain.errors import UsageError
from procos.engine.processes import ModelFile
from procos.engine.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import Topic
    from procos.settings import RedisSettings, Settings
    from tests.contract.engine_labs import RealLab

MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:process id="{key}" name="A test" isExecutable="true" camunda:historyTimeToLive="P1D">
  <bpmn:startEvent id="start">{begins}</bpmn:startEvent>
  <bpmn:sequenceFlow id="in" sourceRef="start" targetRef="element"/>
  {element}
  <bpmn:sequenceFlow id="out" sourceRef="element" targetRef="end"/>
  <bpmn:endEvent id="end" name="Done"/>
</bpmn:process>
<bpmn:message id="message" name="{message}"/>
</bpmn:definitions>"""
PASSES = '<bpmn:task id="element"/>'
WAITS = '<bpmn:receiveTask id="element" messageRef="message"/>'
WORKS = '<bpmn:serviceTask id="element" name="Work" camunda:type="external" camunda:topic="{key}"/>'
BY_MESSAGE = '<bpmn:messageEventDefinition messageRef="message"/>'


@pytest.fixture
def client(engine_settings: Settings, redis_settings: RedisSettings) -> Client:
    return Client(engine_settings.model_copy(update={"redis": redis_settings}))


@pytest.fixture
def key(real_lab: RealLab) -> Topic:
    return real_lab.topic()


@pytest.fixture
def deploy(real_lab: RealLab, key: Topic) -> Callable[..., None]:
    def deploy_one(element: str = PASSES, *, begins: str = "") -> None:
        text = MODEL.format(key=key, element=element.format(key=key), begins=begins, message=f"message-{key}")
        real_lab.processes.deploy(key, [ModelFile(name=f"{key}.bpmn", content=text.encode())])

    return deploy_one


class TestStart:
    def test_gives_the_result_with_its_variables(self, client: Client, key: Topic, deploy: Callable[..., None]) -> None:
        deploy()
        result = client.start(key, {"colour": "red", "sizes": [1, 2]}).result(timeout=20)
        assert (result.state, result.is_good, result.ended_at) == ("COMPLETED", True, "Done")
        assert result.variables == {"colour": "red", "sizes": [1, 2]}

    def test_counts_an_end_with_an_error_code_as_bad(
        self, client: Client, key: Topic, deploy: Callable[..., None]
    ) -> None:
        deploy()
        assert not client.start(key, {"error_code": "REFUSED"}).result(timeout=20).is_good

    def test_of_what_is_not_deployed_names_what_is(
        self, client: Client, key: Topic, deploy: Callable[..., None]
    ) -> None:
        deploy()
        with pytest.raises(UsageError, match=rf"no process 'nobody' is deployed; deployed: .*{key}"):
            client.start("nobody")

    def test_refuses_what_is_no_variable(self, client: Client, key: Topic, deploy: Callable[..., None]) -> None:
        deploy()
        with pytest.raises(UsageError, match="variable 'odd'"):
            client.start(key, {"odd": object()})


class TestWatch:
    def test_yields_each_step_whenever_something_is_new(
        self, client: Client, real_lab: RealLab, key: Topic, deploy: Callable[..., None]
    ) -> None:
        deploy(WORKS)
        instance = client.start(key)
        seen = []
        for view in instance.watch(timeout=20):
            seen.append((view.activity.name, view.status))
            subscription = Subscription(topic=key, lock_duration=timedelta(minutes=1))
            for task in real_lab.engine.fetch_and_lock("me", [subscription], max_tasks=1, wait=timedelta(0)):
                real_lab.engine.complete(task.id, "me", {})
        assert seen == [("Work", "waiting"), ("Work", "ended")]

    def test_ends_when_the_time_is_up_and_the_instance_goes_on(
        self, client: Client, key: Topic, deploy: Callable[..., None]
    ) -> None:
        deploy(WAITS)
        result = client.start(key).result(timeout=0.2)
        assert (result.state, result.ended_at, result.is_good) == ("ACTIVE", None, False)


class TestInstance:
    def test_is_found_again_by_its_id(self, client: Client, key: Topic, deploy: Callable[..., None]) -> None:
        deploy()
        started = client.start(key)
        found = client.instance(started.id)
        assert (found.id, found.key) == (started.id, key)

    @pytest.mark.parametrize("odd", ["nobody", "", "../engine", "a b"])
    def test_that_is_not_there_is_told(self, client: Client, odd: str) -> None:
        with pytest.raises(UsageError, match="there is no process instance"):
            client.instance(odd)

    def test_is_cancelled_once(self, client: Client, key: Topic, deploy: Callable[..., None]) -> None:
        deploy(WAITS)
        instance = client.start(key)
        assert [instance.cancel(), instance.cancel()] == [True, False]
        assert instance.result(timeout=5).state == "EXTERNALLY_TERMINATED"


class TestCorrelate:
    def test_reaches_the_one_that_waits(self, client: Client, key: Topic, deploy: Callable[..., None]) -> None:
        deploy(WAITS)
        waiting = client.start(key, business_key="order-1")
        reached = client.correlate(f"message-{key}", {"paid": True}, business_key="order-1")
        assert reached.id == waiting.id
        assert reached.result(timeout=5).variables == {"paid": True}

    def test_starts_what_begins_with_it(self, client: Client, key: Topic, deploy: Callable[..., None]) -> None:
        deploy(begins=BY_MESSAGE)
        started = client.correlate(f"message-{key}", {"colour": "red"})
        assert (started.key, started.result(timeout=5).state) == (key, "COMPLETED")

    def test_that_nobody_waits_for_is_told(self, client: Client, key: Topic) -> None:
        with pytest.raises(UsageError, match=f"message 'message-{key}' was taken by nobody: nobody waits for it"):
            client.correlate(f"message-{key}")

    def test_that_several_wait_for_is_told_and_taken_by_the_one_that_is_named(
        self, client: Client, key: Topic, deploy: Callable[..., None]
    ) -> None:
        deploy(WAITS)
        first, second = client.start(key), client.start(key)
        with pytest.raises(UsageError, match="several wait for it; name the instance"):
            client.correlate(f"message-{key}")
        assert client.correlate(f"message-{key}", instance=second.id).id == second.id
        assert first.cancel()


class TestRequest:
    def test_may_not_bring_what_is_the_systems_own(self, client: Client) -> None:
        with pytest.raises(UsageError, match="request_kind: these names are the system's own"):
            client.request("echo", {"request_kind": "other"})

    def test_says_that_a_kernel_is_wanted_where_none_has_booted(self, client: Client) -> None:
        with pytest.raises(UsageError, match=r"nobody waits for it.*requests are taken where a kernel has booted"):
            client.request("echo")


class TestProcesses:
    def test_say_what_runs_of_each_version(self, client: Client, key: Topic, deploy: Callable[..., None]) -> None:
        deploy(WAITS)
        running = client.start(key)
        deploy()
        found = [(each.version, each.running, each.incidents) for each in client.processes() if each.key == key]
        assert found == [(2, 0, 0), (1, 1, 0)]
        assert running.cancel()
