"""Values on their way through a real engine: into a task, out of it, and into the expressions of a model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from procos.domain.errors import EngineRejectedError
from procos.domain.external_task import ProcessInstanceId, Topic
from procos.domain.variables import from_engine, to_engine
from procos.engine.faults import COLUMN_SIZE
from procos.engine.long_texts import as_objects
from procos.engine.paths import path
from procos.engine.processes import ModelFile
from procos.engine.subscription import Subscription
from procos.engine.wire import typed_variables_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.contract.engine_labs import RealLab

MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:process id="{topic}" isExecutable="true">
  <bpmn:startEvent id="start"/>
  <bpmn:sequenceFlow id="in" sourceRef="start" targetRef="first"/>
  <bpmn:serviceTask id="first" camunda:type="external" camunda:topic="{topic}"/>
  <bpmn:sequenceFlow id="on" sourceRef="first" targetRef="second"/>
  <bpmn:serviceTask id="second" camunda:type="external" camunda:topic="{topic}">
    <bpmn:extensionElements><camunda:inputOutput>
      <camunda:inputParameter name="seen">${{{expression}}}</camunda:inputParameter>
    </camunda:inputOutput></bpmn:extensionElements>
  </bpmn:serviceTask>
  <bpmn:sequenceFlow id="out" sourceRef="second" targetRef="end"/>
  <bpmn:endEvent id="end"/>
</bpmn:process>
</bpmn:definitions>"""

MOMENT = datetime(2026, 11, 23, 4, 5, 6, 789_000, tzinfo=UTC)
EMOJI = "\N{GRINNING FACE}"

CARRIED: list[tuple[object, object]] = [
    (None, None),
    (True, True),
    (0, 0),
    (2**31 - 1, 2**31 - 1),
    (-(2**31), -(2**31)),
    (2**31, 2**31),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    (2**63, str(2**63)),
    (0.1, 0.1),
    (1e308, 1e308),
    ("", ""),
    ("naïve \u2028 " + EMOJI, "naïve \u2028 " + EMOJI),
    ("x" * 4000, "x" * 4000),
    ("x" * 4001, "x" * 4001),
    (EMOJI * 2000, EMOJI * 2000),
    (EMOJI * 2000 + "x", EMOJI * 2000 + "x"),
    ("x" * 1_000_000, "x" * 1_000_000),
    ('"quoted" \\ <tag/>\n' * 300, '"quoted" \\ <tag/>\n' * 300),
    (MOMENT, MOMENT),
    (MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30))), MOMENT),
    (datetime(1066, 10, 14, tzinfo=UTC), datetime(1066, 10, 14, tzinfo=UTC)),
    (Decimal("0.10"), "0.10"),
    (UUID(int=1), str(UUID(int=1))),
    ({"a": [1, None, {"b": "naïve"}], "n": 2**70}, {"a": [1, None, {"b": "naïve"}], "n": 2**70}),
    ([], []),
    ({}, {}),
    (["x" * 5000], ["x" * 5000]),
]


def fetched(lab: RealLab, topic: Topic) -> tuple[Any, Mapping[str, object]]:
    subscription = Subscription(topic=topic, lock_duration=timedelta(minutes=5))
    (task,) = lab.engine.fetch_and_lock("me", [subscription], max_tasks=1, wait=timedelta(seconds=5))
    return task, {name: from_engine(name, value) for name, value in task.variables.items()}


def deployed(lab: RealLab, expression: str = "null") -> Topic:
    topic = lab.topic()
    text = MODEL.format(topic=topic, expression=expression)
    lab.processes.deploy(topic, [ModelFile(name=f"{topic}.bpmn", content=text.encode())])
    return topic


class TestRoundTrip:
    @pytest.mark.parametrize(("value", "expected"), CARRIED, ids=lambda value: repr(value)[:30])
    def test_into_a_task_and_out_of_it(self, real_lab: RealLab, value: object, expected: object) -> None:
        topic = deployed(real_lab)
        real_lab.processes.start(topic, {"value": value})
        task, variables = fetched(real_lab, topic)
        assert variables["value"] == expected
        real_lab.engine.complete(task.id, "me", {"result": value, "value": expected})
        _, variables = fetched(real_lab, topic)
        assert variables["result"] == expected
        assert variables["value"] == expected


class TestExpressions:
    @pytest.mark.parametrize(
        ("value", "expression", "seen"),
        [
            ("short", "result.length()", 5),
            ("x" * 5000, "result.length()", 5000),
            ({"a": {"b": 7}}, 'result.prop("a").prop("b").value()', 7),
            (41, "result + 1", 42),
            (True, "result ? 'yes' : 'no'", "yes"),
        ],
    )
    def test_read_what_a_task_returned(self, real_lab: RealLab, value: object, expression: str, seen: object) -> None:
        topic = deployed(real_lab, expression)
        real_lab.processes.start(topic, {})
        task, _ = fetched(real_lab, topic)
        real_lab.engine.complete(task.id, "me", {"result": value})
        assert fetched(real_lab, topic)[1]["seen"] == seen


class TestTooLong:
    def test_is_named_when_a_mapping_of_the_model_makes_it_so(self, real_lab: RealLab) -> None:
        topic = deployed(real_lab, "result.concat(result)")
        real_lab.processes.start(topic, {})
        task, _ = fetched(real_lab, topic)
        with pytest.raises(EngineRejectedError, match=r"variable 'result' \(3000 characters\)") as refusal:
            real_lab.engine.complete(task.id, "me", {"result": "x" * 3000, "other": "y" * 1500})
        assert refusal.value.code == COLUMN_SIZE
        assert real_lab.engine.find(task.id).lease == task.lease

    def test_is_what_no_text_of_any_database_is_as_an_object(self, real_lab: RealLab) -> None:
        topic = deployed(real_lab, "result.length()")
        real_lab.processes.start(topic, {})
        task, _ = fetched(real_lab, topic)
        written = as_objects({"result": to_engine("result", "é" * 3000)})
        body = {"workerId": "me", "variables": typed_variables_to_json(written)}
        real_lab.transport.command(path("external-task", task.id, "complete"), body)
        _, variables = fetched(real_lab, topic)
        assert (variables["result"], variables["seen"]) == ("é" * 3000, 3000)


class TestGuidesCall:
    def test_of_string_and_long_variables_works_unchanged(self, real_lab: RealLab) -> None:
        topic = deployed(real_lab)
        body = {"variables": {"user_query": {"value": "hi", "type": "String"}, "n": {"value": 7, "type": "Long"}}}
        answer = real_lab.transport.post(f"/process-definition/key/{topic}/start", body)
        task, variables = fetched(real_lab, topic)
        assert task.process_instance_id == ProcessInstanceId(answer["id"])
        assert variables == {"user_query": "hi", "n": 7}
