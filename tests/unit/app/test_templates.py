"""What an element template says of a task's input, output and retries."""

from __future__ import annotations

from typing import Any

import pytest

from procos.cli.element_templates import element_templates, template
from procos.domain.external_task import Topic
from procos.routes import ROUTES, routes


def properties(topic: str) -> dict[str, dict[str, Any]]:
    """Return the fields of a topic's template by what they are bound to."""
    found: Any = template(Topic(topic), ROUTES[Topic(topic)])["properties"]
    return {each["binding"].get("name") or each["binding"]["source"]: each for each in found}


class TestTemplate:
    def test_is_there_for_every_topic(self) -> None:
        assert [each["id"] for each in element_templates()] == [f"{r.source}.{t}" for t, r in sorted(routes().items())]

    def test_makes_the_step_an_external_task_of_the_topic(self) -> None:
        found = properties("ai_query")
        assert (found["camunda:type"]["value"], found["camunda:topic"]["value"]) == ("external", "ai_query")

    def test_writes_nothing_where_nothing_is_filled_in(self) -> None:
        visible = [each for each in properties("ai_query").values() if each["type"] != "Hidden"]
        assert all(each["optional"] and "value" not in each for each in visible)

    def test_takes_a_long_text_in_several_lines(self) -> None:
        assert properties("ai_query")["user_query"]["type"] == "Text"

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("user_query", "empty: the variable user_query, which must be there"),
            ("max_tokens", "empty: the variable max_tokens, else 1000"),
            ("model", "empty: the variable model"),
        ],
    )
    def test_says_what_is_taken_without_it(self, name: str, said: str) -> None:
        assert properties("ai_query")[name]["description"] == said

    @pytest.mark.parametrize(
        ("name", "choices"),
        [("format_type", ["text", "markdown", "json", "csv"]), ("include_metadata", ["true", "false"])],
    )
    def test_offers_the_values_there_are(self, name: str, choices: list[str]) -> None:
        found = properties("response_formatting")[name]
        assert [choice["value"] for choice in found["choices"]] == choices

    def test_names_inputs_as_the_variables_are_named(self) -> None:
        assert "schema" in properties("input_validation")

    @pytest.mark.parametrize("topic", ROUTES)
    def test_offers_what_a_model_may_say_of_output_and_errors(self, topic: str) -> None:
        found = {name: each["binding"]["type"] for name, each in properties(topic).items()}
        wanted = dict.fromkeys(("resultVariable", "resultExpression", "errorExpression"), "camunda:property")
        assert found.items() >= wanted.items()

    def test_offers_another_name_for_each_output(self) -> None:
        assert properties("provider_selection")["${selected_provider}"]["binding"]["type"] == "camunda:outputParameter"
