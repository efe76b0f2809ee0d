"""The pages of services that no shipped process uses: their models deploy, and their tables are what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from procos.domain.external_task import Topic
from procos.routes import ROUTES
from procos.testing.models import model_steps
from tasks.adapters.github.adapter import GitHub
from tasks.adapters.slack.adapter import Slack

if TYPE_CHECKING:
    from tasks.adapters.adapter import Adapter

SERVICES = Path(__file__).parents[2] / "docs" / "services"
PAGES = {
    "slack_message": "slack.md",
    "github_issue": "github.md",
    "service_call": "service-call.md",
    "file_operation": "files.md",
}
BLOCK = re.compile(r"^```xml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(topic: str) -> str:
    return (SERVICES / PAGES[topic]).read_text(encoding="utf-8")


@pytest.mark.parametrize("topic", PAGES)
class TestPage:
    def test_has_a_model_that_deploys(self, topic: str) -> None:
        steps = model_steps(SERVICES / "models" / f"{topic}.bpmn")
        assert {step.topic for step in steps.values()} == {Topic(topic)}

    def test_quotes_its_model(self, topic: str) -> None:
        model = (SERVICES / "models" / f"{topic}.bpmn").read_text(encoding="utf-8")
        lines = {line.strip() for line in model.splitlines()}
        quoted = [line.strip() for block in BLOCK.findall(page(topic)) for line in block.splitlines()]
        assert quoted
        assert set(quoted) <= lines

    def test_names_every_input_and_error(self, topic: str) -> None:
        route = ROUTES[Topic(topic)]
        names = {*(route.variables or ()), *route.errors, "INVALID_INPUT", "OUTCOME_UNKNOWN"}
        assert {name for name in names if f"`{name}`" not in page(topic)} == set()


@pytest.mark.parametrize(("topic", "adapter"), [("slack_message", Slack), ("github_issue", GitHub)])
class TestService:
    def test_names_every_operation_output_and_field_of_the_connection(self, topic: str, adapter: type[Adapter]) -> None:
        names = {*adapter.operations(), *adapter.connection.model_fields} - {"type"}
        names |= {name for each in adapter.operations().values() for name in each.result.model_fields}
        assert {name for name in names if f"`{name}`" not in page(topic)} == set()
