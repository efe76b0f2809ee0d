"""One truth in three places: the topics of the models, the table of routes, and the registered Celery tasks."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from procos.app import app
from procos.routes import ROUTES

if TYPE_CHECKING:
    from procos.domain.external_task import Topic

ROOT = Path(__file__).resolve().parents[2]
BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
CAMUNDA = "{http://camunda.org/schema/1.0/bpmn}"
MODELS = sorted((ROOT / "processes").glob("*/model.bpmn"))
EXAMPLES = sorted((ROOT / "docs" / "services" / "models").glob("*.bpmn"))
"""Models of the pages on services, which need connections of the operator's to run."""


def topics_of(model: Path) -> set[str]:
    steps = etree.parse(str(model)).iter()
    return {str(step.get(f"{CAMUNDA}topic")) for step in steps if step.get(f"{CAMUNDA}type") == "external"}


class TestProcesses:
    def test_that_come_with_procos_have_ids_of_their_own(self) -> None:
        """What is deployed under an id that is taken becomes the next version of the other process."""
        models = [*MODELS, *EXAMPLES, *(ROOT / "examples").glob("**/*.bpmn")]
        ids = Counter(step.get("id") for model in models for step in etree.parse(str(model)).iter(f"{BPMN}process"))
        assert [name for name, times in ids.items() if times > 1] == []


class TestTopics:
    def test_of_the_models_are_all_served(self) -> None:
        assert MODELS
        used = set().union(*(topics_of(model) for model in MODELS))
        assert used <= set(ROUTES)

    def test_that_are_built_in_are_all_used_by_a_model(self) -> None:
        used = set().union(*(topics_of(model) for model in [*MODELS, *EXAMPLES]))
        assert set(ROUTES) <= used

    def test_that_are_built_in_are_all_registered_as_tasks(self) -> None:
        app.loader.import_default_modules()
        ours = {name for name in app.tasks if name.startswith("procos.")}
        assert ours == {route.task_name for route in ROUTES.values()}

    def test_give_their_names_to_tasks(self) -> None:
        assert {topic: route.task_name for topic, route in ROUTES.items()} == {t: f"procos.{t}" for t in ROUTES}


class TestRoutes:
    @pytest.mark.parametrize("topic", ROUTES)
    def test_name_a_module_that_says_why_running_it_twice_is_harmless(self, topic: Topic) -> None:
        text = importlib.import_module(ROUTES[topic].module).__doc__ or ""
        assert "twice" in text
