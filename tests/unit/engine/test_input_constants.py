"""Constants of a model: texts of its own, and nothing that anybody else may have a hand in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import EngineError, EngineMisconfiguredError
from procos.engine.http import HttpEngine
from procos.engine.input_constants import constants_in
from procos.engine.transport import Transport
from procos.settings import EngineSettings
from procos.testing import external_task

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Site

NAMED = "{{secrets.CRM_TOKEN}}"
MODEL = """<?xml version="1.0" encoding="ISO-8859-1"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:process id="p" isExecutable="true">
  <bpmn:subProcess id="around">{around}
    <bpmn:serviceTask id="step" camunda:type="external" camunda:topic="t">
      <bpmn:extensionElements>{extensions}</bpmn:extensionElements>
      {loop}
    </bpmn:serviceTask>
  </bpmn:subProcess>
</bpmn:process>
</bpmn:definitions>"""


def parameter(text: str, name: str = "token") -> str:
    return f'<camunda:inputParameter name="{name}">{text}</camunda:inputParameter>'


def model(*parameters: str, extensions: str = "", around: str = "", loop: str = "") -> str:
    mapping = f"<camunda:inputOutput>{''.join(parameters)}</camunda:inputOutput>"
    return MODEL.format(extensions=mapping + extensions, around=around, loop=loop)


class TestConstants:
    @pytest.mark.parametrize(
        ("written", "text"),
        [
            (NAMED, NAMED),
            (f"Bearer {NAMED}", f"Bearer {NAMED}"),
            (f"\n      {NAMED}\t", NAMED),
            (f"<![CDATA[<{NAMED}>]]>", f"<{NAMED}>"),
            (f"a &amp; {NAMED}", f"a & {NAMED}"),
            (f"one <!-- not this -->{NAMED}", f"one {NAMED}"),
            ("{}", "{}"),
        ],
    )
    def test_are_texts_as_the_engine_reads_them(self, written: str, text: str) -> None:
        assert constants_in(model(parameter(written))) == {"step": {"token": text}}

    @pytest.mark.parametrize(
        "written",
        [
            "",
            "   ",
            "${token}",
            f"${{user}} {NAMED}",
            f"#{{user}} {NAMED}",
            f"<camunda:list><camunda:value>{NAMED}</camunda:value></camunda:list>",
            f'<camunda:map><camunda:entry key="a">{NAMED}</camunda:entry></camunda:map>',
            f'<camunda:script scriptFormat="groovy">"{NAMED}"</camunda:script>',
            f"{NAMED}<camunda:list/>",
        ],
    )
    def test_are_no_expressions_scripts_lists_or_maps(self, written: str) -> None:
        assert constants_in(model(parameter(written))) == {"step": {}}

    def test_count_by_the_last_of_the_same_name(self) -> None:
        assert constants_in(model(parameter("a"), parameter("b"))) == {"step": {"token": "b"}}
        assert constants_in(model(parameter(NAMED), parameter("${user}"))) == {"step": {}}

    def test_are_of_the_very_step(self) -> None:
        mapping = f"<camunda:inputOutput>{parameter(NAMED)}</camunda:inputOutput>"
        around = f"<bpmn:extensionElements>{mapping}</bpmn:extensionElements>"
        found = constants_in(model(parameter("other", name="other"), around=around))
        assert found == {"around": {"token": NAMED}, "step": {"other": "other"}}

    def test_are_not_those_of_a_connector(self) -> None:
        connector = (
            f"<camunda:connector><camunda:inputOutput>{parameter(NAMED)}</camunda:inputOutput></camunda:connector>"
        )
        assert constants_in(model(extensions=connector)) == {"step": {}}

    def test_are_no_output_parameters(self) -> None:
        output = f'<camunda:outputParameter name="token">{NAMED}</camunda:outputParameter>'
        assert constants_in(model(output)) == {"step": {}}


class TestReader:
    @pytest.fixture
    def engine(self, site: Site) -> HttpEngine:
        site.body = json.dumps({"id": "p:1:x", "bpmn20Xml": model(parameter(NAMED))}).encode()
        return HttpEngine(Transport(EngineSettings(url=site.address)))

    def test_asks_once_for_each_version_of_a_process(self, site: Site, engine: HttpEngine) -> None:
        task = replace(external_task(), process_definition_id="p:1:x")
        assert [engine.input_constants(task) for _ in range(3)] == [{"token": NAMED}] * 3
        engine.input_constants(replace(task, process_definition_id="p:2:y"))
        assert [path for _, path, _, _ in site.requests] == [
            "/engine-rest/process-definition/p%3A1%3Ax/xml",
            "/engine-rest/process-definition/p%3A2%3Ay/xml",
        ]

    def test_knows_a_step_of_many_instances(self, engine: HttpEngine) -> None:
        task = replace(external_task(), process_definition_id="p:1:x", activity_id="step#multiInstanceBody")
        assert engine.input_constants(task) == {"token": NAMED}

    def test_finds_nothing_for_a_step_it_does_not_know(self, engine: HttpEngine) -> None:
        task = replace(external_task(), process_definition_id="p:1:x", activity_id="elsewhere")
        assert engine.input_constants(task) == {}

    @pytest.mark.parametrize("body", [b"{}", b"[]", b'{"bpmn20Xml": "no model"}'])
    def test_refuses_what_is_no_model(self, site: Site, engine: HttpEngine, body: bytes) -> None:
        site.body = body
        with pytest.raises(EngineMisconfiguredError, match="p:1:x"):
            engine.input_constants(replace(external_task(), process_definition_id="p:1:x"))

    def test_asks_again_after_it_got_no_answer(self, site: Site, engine: HttpEngine) -> None:
        task = replace(external_task(), process_definition_id="p:1:x")
        site.status = 503
        with pytest.raises(EngineError):
            engine.input_constants(task)
        site.status = 200
        assert engine.input_constants(task) == {"token": NAMED}

    def test_says_so_where_an_engine_names_no_version(self, engine: HttpEngine) -> None:
        with pytest.raises(EngineError):
            engine.input_constants(external_task())
