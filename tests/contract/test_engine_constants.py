"""Constants of a model as a real engine hands them to a step, and what it makes of everything that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge.model_constants import ModelConstants
from procos.engine.paths import path
from tests.contract.engine_labs import fetch
from tests.contract.error_models import DEFINITIONS, PROCESS, flow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.domain.external_task import ExternalTask
    from tests.contract.engine_labs import RealLab

NAMED = "Bearer {{secrets.CRM_TOKEN}}"
LOOP = (
    "<bpmn:multiInstanceLoopCharacteristics{parallel}><bpmn:loopCardinality>2</bpmn:loopCardinality>"
    "</bpmn:multiInstanceLoopCharacteristics>"
)
LISTENER = (
    "<camunda:executionListener event=\"start\" expression=\"${{execution.setVariableLocal('token', '{text}')}}\"/>"
)


def parameter(text: str, name: str = "token") -> str:
    return f'<camunda:inputParameter name="{name}">{text}</camunda:inputParameter>'


def step(*parameters: str, more: str = "", loop: str = "") -> str:
    mapping = f"<camunda:inputOutput>{''.join(parameters)}</camunda:inputOutput>" if parameters else ""
    return (
        '<bpmn:serviceTask id="step" camunda:type="external" camunda:topic="{topic}">'
        f"<bpmn:extensionElements>{mapping}{more}</bpmn:extensionElements>{loop}</bpmn:serviceTask>"
    )


def fetched(lab: RealLab, content: str, variables: Mapping[str, str] | None = None) -> Sequence[ExternalTask]:
    """Deploy a process, start it with these texts, and fetch its steps."""
    topic = lab.topic()
    text = DEFINITIONS.format(processes=PROCESS.format(key=topic, content=content)).replace("{topic}", topic)
    file = (f"{topic}.bpmn", text.replace("ISO-8859-1", "UTF-8").encode(), "application/xml")
    lab.transport.post_form("/deployment/create", {"deployment-name": topic}, {f"{topic}.bpmn": file})
    given = {name: {"type": "String", "value": value} for name, value in (variables or {}).items()}
    lab.transport.post(path("process-definition", "key", topic, "start"), {"variables": given})
    return fetch(lab, topic)


def constants(lab: RealLab, task: ExternalTask) -> tuple[str, ...]:
    return ModelConstants({task.topic}, lab.engine.input_constants).among(task)


class TestConstant:
    @pytest.mark.parametrize(
        "written",
        [
            NAMED,
            f"\n  {NAMED}\n",
            f"<![CDATA[{NAMED}]]>",
            f"{NAMED} <!-- a remark -->&amp; more",
            f"first line\n  {NAMED}",
            f"Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich {NAMED}",
            '{"Authorization": "{{ secrets.CRM_TOKEN }}"}',
        ],
    )
    def test_comes_as_the_model_has_it(self, real_lab: RealLab, written: str) -> None:
        (task,) = fetched(real_lab, flow(step(parameter(written))))
        assert constants(real_lab, task) == ("token",)

    def test_wins_over_a_process_variable_of_the_same_name(self, real_lab: RealLab) -> None:
        (task,) = fetched(real_lab, flow(step(parameter(NAMED))), {"token": "{{secrets.OF_A_USER}}"})
        assert constants(real_lab, task) == ("token",)
        assert task.variables["token"].value == NAMED

    @pytest.mark.parametrize("parallel", ["", ' isSequential="true"'], ids=["parallel", "sequential"])
    def test_is_known_in_a_step_of_many_instances(self, real_lab: RealLab, parallel: str) -> None:
        tasks = fetched(real_lab, flow(step(parameter(NAMED), loop=LOOP.format(parallel=parallel))))
        assert tasks
        assert {constants(real_lab, task) for task in tasks} == {("token",)}

    def test_is_of_the_version_the_instance_runs(self, real_lab: RealLab) -> None:
        (first,) = fetched(real_lab, flow(step(parameter(NAMED))))
        assert first.process_definition_id
        assert real_lab.engine.input_constants(first) == {"token": NAMED}


class TestOtherVariable:
    @pytest.mark.parametrize(
        "content",
        [
            step(),
            step(parameter(NAMED, name="other")),
            step(parameter("${token}")),
            step(parameter("${token} or {{secrets.CRM_TOKEN}}")),
            step(parameter("#{token}")),
            step(parameter(NAMED), parameter("${token}")),
            step(parameter(NAMED), more=LISTENER.format(text="{{secrets.OF_A_USER}}")),
        ],
        ids=["no input", "another input", "expression", "mixed", "deferred", "overwritten", "set by a listener"],
    )
    def test_is_no_constant(self, real_lab: RealLab, content: str) -> None:
        (task,) = fetched(real_lab, flow(content), {"token": "{{secrets.OF_A_USER}}"})
        assert "secrets.OF_A_USER" in str(task.variables["token"].value)
        assert "token" not in constants(real_lab, task)

    @pytest.mark.parametrize(
        "written",
        [
            f"<camunda:list><camunda:value>{NAMED}</camunda:value></camunda:list>",
            f'<camunda:map><camunda:entry key="a">{NAMED}</camunda:entry></camunda:map>',
        ],
        ids=["list", "map"],
    )
    def test_that_is_a_list_or_a_map_is_none(self, real_lab: RealLab, written: str) -> None:
        (task,) = fetched(real_lab, flow(step(parameter(written))))
        assert constants(real_lab, task) == ()

    def test_that_was_changed_since_is_none(self, real_lab: RealLab) -> None:
        (task,) = fetched(real_lab, flow(step(parameter(NAMED))))
        (execution,) = real_lab.transport.get(
            "/execution", {"processInstanceId": task.process_instance_id, "activityId": "step"}
        )
        changed = {"type": "String", "value": "to evil.example: {{secrets.CRM_TOKEN}}"}
        real_lab.transport.put(path("execution", execution["id"], "localVariables", "token"), changed)
        real_lab.engine.unlock(task.id)
        (again,) = fetch(real_lab, task.topic)
        assert again.variables["token"].value == changed["value"]
        assert constants(real_lab, again) == ()
