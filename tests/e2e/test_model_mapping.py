"""What a model says of output and errors is what the engine shows: one process with all three properties."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def start(stack: Any, tmp_path: Path) -> Callable[[str], str]:
    """Start the process with a step that will fail so; returns its instance."""

    def start_one(error: str) -> str:
        return str(
            stack.start(
                "sample_mapping",
                error={"value": error, "type": "String"},
                effects_file={"value": str(tmp_path / "effects"), "type": "String"},
                colour={"value": "red", "type": "String"},
                sizes={"value": "[1, 2]", "type": "Json"},
            )
        )

    return start_one


class TestMappingOfAModel:
    def test_names_the_result_and_sends_an_error_another_way(
        self, stack: Any, start: Callable[[str], str], eventually: Callable[..., None]
    ) -> None:
        instance_id = start("business")
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the error caught")
        variables = {name: row["value"] for name, row in stack.variables(instance_id).items()}
        assert (variables["colour"], variables["count"], variables["note"]) == ("red", 2, None)
        assert json.loads(variables["everything"])["sizes_back"] == [1, 2]
        assert "colour_back" not in variables
        assert (variables["why"], variables["article"]) == ("no out_of_stock", "bolt")

    def test_completes_a_step_whose_error_is_ignored(
        self, stack: Any, start: Callable[[str], str], tmp_path: Path, eventually: Callable[..., None]
    ) -> None:
        instance_id = start("transient")
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the error ignored")
        assert stack.variables(instance_id)["given_up"]["value"] is True
        assert (tmp_path / "effects").read_text().count("start") == 2

    def test_gives_an_incident_its_words_and_keeps_variables(
        self, stack: Any, start: Callable[[str], str], eventually: Callable[..., None]
    ) -> None:
        instance_id = start("permanent")
        eventually(lambda: stack.incidents(instance_id) == ["call the shop"], seconds=30, what="the incident")
        assert stack.variables(instance_id)["last_error"]["value"] == "no retry can help"

    def test_that_cannot_be_read_is_refused_at_the_deployment(self, stack: Any, tmp_path: Path) -> None:
        model = tmp_path / "model.bpmn"
        model.write_text(source().replace("$count(sizes_back)", "$count(sizes_back"))
        done = stack.procos("deploy", str(model))
        assert done.returncode == 2
        assert "model.bpmn:10: resultExpression does not parse" in done.stderr

    def test_that_cannot_be_read_and_came_another_way_is_an_incident_that_says_so(
        self, stack: Any, eventually: Callable[..., None]
    ) -> None:
        broken = source().replace("sample_mapping", "broken_mapping").replace("$count(sizes_back)", "$count(sizes_back")
        stack.deploy_source("broken_mapping", broken)
        instance_id = stack.start("broken_mapping")
        eventually(lambda: bool(stack.incidents(instance_id)), seconds=60, what="an incident")
        assert "resultExpression does not parse" in stack.incidents(instance_id)[0]


def source() -> str:
    from tests.local_stack import SAMPLES

    return (SAMPLES / "models" / "sample_mapping.bpmn").read_text("utf-8")
