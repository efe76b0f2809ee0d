"""Topic data_transformation: what comes of data, in which language, and in which words it is refused."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from procos.domain.errors import BusinessError, PermanentError, TaskError, TransientError
from tasks.generic.data_transformation import DataTransformationInput, data_transformation
from tests.shapes import context_of

CONTEXT = context_of("data_transformation")
ORDERS = [{"name": "bolt", "price": 5, "stock": 0}, {"name": "nut", "price": 2, "stock": 9}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def transformed(**variables: Any) -> Any:
    return data_transformation(DataTransformationInput.model_validate(variables), CONTEXT).result


def filled(template: str, **variables: Any) -> Any:
    return transformed(language="jinja", template=template, **variables)


class TestJsonata:
    @pytest.mark.parametrize(
        ("expression", "result"),
        [
            ("$sum(price)", 7),
            ("[$[stock > 0].name]", ["nut"]),
            ("{'names': name}", {"names": ["bolt", "nut"]}),
            ("nothing.at.all", None),
            ("$join(name, ', ')", "bolt, nut"),
        ],
    )
    def test_makes_one_value_of_another(self, expression: str, result: object) -> None:
        assert transformed(data=ORDERS, expression=expression) == result

    def test_sees_the_variables_of_the_step_where_there_is_no_data(self) -> None:
        assert transformed(expression="a + b", a=1, b=2) == 3

    def test_sees_a_date_as_its_iso_text(self) -> None:
        assert transformed(expression="due", due=datetime(2026, 11, 23, tzinfo=UTC)) == "2026-11-23T00:00:00Z"

    def test_reads_a_text_of_json(self) -> None:
        assert transformed(data='{"a": [1, 2]}', data_format="json", expression="$sum(a)") == 3

    def test_that_does_not_parse_is_the_models_mistake(self) -> None:
        with pytest.raises(PermanentError, match=r"^expression does not parse: .* \(S0203, character 2\)") as raised:
            transformed(data={}, expression="[1")
        assert raised.value.code == "EXPRESSION_INVALID"

    def test_that_does_not_fit_the_data_may_be_caught(self) -> None:
        with pytest.raises(BusinessError) as raised:
            transformed(data={"a": "hunter2"}, expression="a + 1")
        assert raised.value.code == "EXPRESSION_FAILED"
        assert "must evaluate to a number (T2001" in raised.value.message
        assert "hunter2" not in raised.value.message

    def test_may_refuse_data_in_its_own_words(self) -> None:
        with pytest.raises(BusinessError, match="no order is open"):
            transformed(data=[], expression="$error('no order is open')")


class TestJinja:
    def test_writes_a_text(self) -> None:
        assert filled("{% for each in data %}{{ each.name }}: {{ each.price * 2 }}; {% endfor %}", data=ORDERS) == (
            "bolt: 10; nut: 4; "
        )

    def test_sees_the_members_of_an_object_by_their_names(self) -> None:
        assert filled("Dear {{ name }}", data={"name": "Ann"}) == filled("Dear {{ name }}", name="Ann") == "Dear Ann"

    def test_says_what_is_missing(self) -> None:
        with pytest.raises(BusinessError) as raised:
            filled("{{ person.name }}", person={})
        assert raised.value.code == "EXPRESSION_FAILED"
        assert raised.value.message == "template cannot be filled with this data: name is missing"

    def test_that_is_wrong_is_the_models_mistake(self) -> None:
        with pytest.raises(PermanentError, match=r"^template: line 2: ") as raised:
            filled("a\n{% if %}")
        assert raised.value.code == "EXPRESSION_INVALID"

    def test_ends_when_time_is_up(self) -> None:
        given = DataTransformationInput.model_validate({"language": "jinja", "template": "{{ 'a'|upper }}"})
        with pytest.raises(TransientError, match=r"was not filled within 0 s") as raised:
            data_transformation(given, context_of("data_transformation", seconds=-1))
        assert raised.value.code == "EXPRESSION_NOT_ENDED"


class TestInput:
    @pytest.mark.parametrize(
        "variables",
        [{}, {"template": "x"}, {"language": "jinja", "expression": "1"}, {"language": "jq", "expression": "."}],
    )
    def test_says_how_to_transform(self, variables: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            DataTransformationInput.model_validate(variables)

    @settings(max_examples=40, deadline=None)
    @given(data=JSON, expression=st.sampled_from(["$", "*.**", "$string($)", "$sum(*)", "$count($)", "$keys($)"]))
    def test_ends_as_a_value_or_an_error_of_ours(self, data: object, expression: str) -> None:
        with suppress(TaskError):
            transformed(data=data, expression=expression)

    @settings(max_examples=60, deadline=None)
    @given(st.text(alphabet="{}%|()[]. ~'abforin0179_-\n", max_size=30))
    def test_takes_any_text_for_a_template(self, template: str) -> None:
        with suppress(TaskError):
            assert isinstance(filled(template, data={"a": [1], "b": "x"}), str)
