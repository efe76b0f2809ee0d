"""The model of ai_query_process: what it carries inline agrees with the files beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tasks.generic.json_schema import problems

FOLDER = Path(__file__).parents[2] / "processes/ai_query_process"
NAMES = {"bpmn": "http://www.omg.org/spec/BPMN/20100524/MODEL", "camunda": "http://camunda.org/schema/1.0/bpmn"}
LONGEST_STRING = 4000


@pytest.fixture(scope="module")
def model() -> Any:
    return etree.parse(FOLDER / "model.bpmn")


def found(model: Any, path: str) -> list[Any]:
    return list(model.xpath(path, namespaces=NAMES))


class TestModel:
    def test_carries_the_schema_of_the_file_beside_it(self, model: Any) -> None:
        (text,) = found(model, "//camunda:inputParameter[@name='schema']/text()")
        assert json.loads(text) == json.loads((FOLDER / "input.schema.json").read_text())
        assert len(text) <= LONGEST_STRING, "the engine stores no longer text"
        assert "\\\\" not in text, "the engine's expressions turn two backslashes into one"

    def test_accepts_its_own_sample(self) -> None:
        schema = json.loads((FOLDER / "input.schema.json").read_text())
        assert problems(schema, json.loads((FOLDER / "sample.json").read_text())) == []

    def test_catches_every_error_with_an_end_of_its_own(self, model: Any) -> None:
        codes = {error.get("id"): error.get("errorCode") for error in found(model, "//bpmn:error")}
        caught = sorted(
            (event.get("attachedToRef"), codes[event.find("bpmn:errorEventDefinition", NAMES).get("errorRef")])
            for event in found(model, "//bpmn:boundaryEvent")
        )
        assert caught == [
            ("ask_provider", "BUDGET_EXCEEDED"),
            ("ask_provider", "CONTENT_FILTERED"),
            ("ask_provider", "CONTEXT_TOO_LONG"),
            ("ask_provider", "INVALID_INPUT"),
            ("ask_provider", "REFUSED"),
            ("validate_input", "INVALID_INPUT"),
            ("validate_input", "VALIDATION_FAILED"),
        ]
        targets = found(model, "//bpmn:sequenceFlow[@sourceRef=//bpmn:boundaryEvent/@id]/@targetRef")
        ends = found(model, "//bpmn:endEvent/@id")
        assert len(set(targets)) == len(caught)
        assert set(targets) < set(ends)

    def test_draws_every_element(self, model: Any) -> None:
        drawn = set(found(model, "//@bpmnElement"))
        elements = found(model, "//bpmn:process/*[@id]/@id")
        assert set(elements) <= drawn
