"""A secret by name in a whole system: the step has it, and no other place does, down to the engine's own tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests

from tests.planted import CONSTANT, ENVIRONMENT, NAME, TOPIC, found_in
from tests.samples.sample_tasks.leaks import WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.local_stack import LocalStack

MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
  <bpmn:startEvent id="start"/>
  <bpmn:sequenceFlow id="in" sourceRef="start" targetRef="step"/>
  <bpmn:serviceTask id="step" camunda:type="external" camunda:topic="{topic}">{inputs}</bpmn:serviceTask>
  <bpmn:boundaryEvent id="caught" attachedToRef="step">
    <bpmn:errorEventDefinition camunda:errorCodeVariable="code" camunda:errorMessageVariable="message"/>
  </bpmn:boundaryEvent>
  <bpmn:sequenceFlow id="from_caught" sourceRef="caught" targetRef="end"/>
  <bpmn:sequenceFlow id="out" sourceRef="step" targetRef="end"/>
  <bpmn:endEvent id="end"/>
</bpmn:process>
</bpmn:definitions>"""
INPUTS = """<bpmn:extensionElements><camunda:inputOutput>
  <camunda:inputParameter name="token">{text}</camunda:inputParameter>
</camunda:inputOutput></bpmn:extensionElements>"""
PLACEHOLDER = f"{{{{secrets.{NAME}}}}}"
READ_BY = ("variable-instance", "external-task-log", "incident", "activity-instance", "detail")
"""What history keeps of an instance."""
MOST_ENDED = [way for way in WAYS if way != "postpone"]


@pytest.fixture(scope="module")
def stack(stack_factory: Callable[..., LocalStack]) -> LocalStack:
    stack = stack_factory(**ENVIRONMENT)
    for key, inputs in (("leaking", INPUTS.format(text=CONSTANT)), ("trusting", "")):
        stack.deploy_source(key, MODEL.format(key=key, topic=TOPIC, inputs=inputs))
    return stack


def text(value: str) -> dict[str, str]:
    return {"type": "String", "value": value}


def told_by_the_engine(stack: LocalStack, instance_id: str) -> str:
    """Return all that history says of an instance, incident texts and stack traces included."""
    said = []
    for kind in READ_BY:
        query = {"processInstanceId": instance_id, "deserializeValues": "false"}
        rows = requests.get(f"{stack.rest}/history/{kind}", params=query, timeout=20).json()
        said.append(json.dumps(rows, ensure_ascii=False))
        if kind == "external-task-log":
            said += [
                requests.get(f"{stack.rest}/history/external-task-log/{row['id']}/error-details", timeout=20).text
                for row in rows
                if row["failureLog"]
            ]
    return "\n".join(said)


def everything_in_redis(settings: Mapping[str, str]) -> str:
    with redis.Redis.from_url(settings["PROCOS_REDIS_URL"]) as client:
        return "\n".join(f"{key!r} {client.dump(key)!r}" for key in client.scan_iter())


def logs(stack: LocalStack) -> str:
    return "\n".join(file.read_text(errors="replace") for file in (stack.folder / "logs").iterdir())


class TestPlantedSecret:
    def test_is_found_nowhere(self, stack: Any, eventually: Callable[..., None]) -> None:
        instances = {way: stack.start("leaking", way=text(way)) for way in WAYS}
        stored: list[str] = []

        def have_ended() -> bool:
            stored.append(everything_in_redis(stack.settings))
            return all(
                stack.finished([instances[way]]) or stack.incidents(instances[way])
                for way in MOST_ENDED
            )  # fmt: skip

        eventually(have_ended, seconds=90, what="all steps have ended, or wait for a person")
        told = {way: told_by_the_engine(stack, instance_id) for way, instance_id in instances.items()}
        assert "the token is ***" in told["result"]
        assert CONSTANT in told["result"]
        for place in (*told.values(), *stored, logs(stack)):
            assert found_in(place) == []
        assert "***" in "".join(told.values())
        assert logs(stack).count("leaks.said") >= len(MOST_ENDED)


class TestHostileVariable:
    def test_of_a_step_without_that_input_parameter_stays_a_text(
        self, stack: Any, eventually: Callable[..., None]
    ) -> None:
        given = {"way": text("result"), "token": text(CONSTANT), "note": text(PLACEHOLDER)}
        instance_id = stack.start("trusting", **given)
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the step has ended")
        variables = stack.variables(instance_id)
        assert variables["answer"]["value"] == f"the token is {PLACEHOLDER}"
        assert variables["note_back"]["value"] == PLACEHOLDER

    def test_beside_a_constant_stays_a_text(self, stack: Any, eventually: Callable[..., None]) -> None:
        given = {"way": text("result"), "token": text(PLACEHOLDER), "note": text(PLACEHOLDER)}
        instance_id = stack.start("leaking", **given)
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the step has ended")
        variables = stack.variables(instance_id)
        assert variables["answer"]["value"] == "the token is ***"
        assert variables["note_back"]["value"] == PLACEHOLDER


class TestDoctor:
    def test_finds_the_secret(self, stack: Any) -> None:
        done = stack.procos("doctor")
        assert "secrets found: 1" in done.stdout
        assert found_in(done.stdout + done.stderr) == []

    def test_names_one_that_is_not_there(self, stack: Any) -> None:
        done = stack.procos("doctor", PROCOS_SECRETS_ALLOWED='{"sample_leak": ["NOWHERE"]}')
        assert "PROCOS_SECRETS__NOWHERE is not set" in done.stdout
