"""Topic input_validation: what it refuses, in which words, and what a schema cannot make it do."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from procos.domain.errors import BusinessError, PermanentError
from tasks.generic.input_validation import InputValidationInput, input_validation
from tasks.generic.json_schema import LONGEST_MESSAGE, MOST_PROBLEMS, Problem, check_schema, message_of, problems
from tests.shapes import context_of

SCHEMA = json.loads((Path(__file__).parents[2] / "processes/ai_query_process/input.schema.json").read_text())
NAMES = [*SCHEMA["properties"], "other"]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5)


CONTEXT = context_of("input_validation")


def validate(**variables: Any) -> dict[str, Any]:
    variables.setdefault("schema", SCHEMA)
    return input_validation(InputValidationInput.model_validate(variables), CONTEXT).model_dump()


def refusal(**variables: Any) -> str:
    with pytest.raises(BusinessError) as raised:
        validate(**variables)
    assert raised.value.code == "VALIDATION_FAILED"
    assert raised.value.variables["valid"] is False
    assert len(raised.value.message) <= LONGEST_MESSAGE
    return raised.value.message


class TestInputValidation:
    @pytest.mark.parametrize(
        "variables",
        [
            {"user_query": "why?"},
            {"user_query": "why?", "ai_provider": "auto", "max_tokens": 500, "user_id": "alice"},
            {"user_query": "\u200bwhy?\n", "temperature": 0.0, "complexity_score": 1, "include_metadata": True},
            {"user_query": "x" * 100_000, "something_else": {"a": [1, None]}},
            {"user_query": "why?", "ai_provider": None, "max_tokens": None},
            {"user_query": "why?", "json_schema": 1, "model_config": 2, "copy": 3, "values": 4},
        ],
    )
    def test_lets_good_variables_through(self, variables: dict[str, Any]) -> None:
        assert validate(**variables) == {"valid": True, "validation_errors": [], "errors": []}

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({}, "user_query: is missing"),
            ({"user_query": None}, "user_query: is missing"),
            ({"user_query": ""}, "user_query: expected a question that is not blank"),
            ({"user_query": " \n\u00a0"}, "user_query: expected a question that is not blank"),
            ({"user_query": 7}, "user_query: expected string, got integer"),
            ({"user_query": True}, "user_query: expected string, got boolean"),
            ({"user_query": ["a"]}, "user_query: expected string, got array"),
            ({"user_query": {"a": 1}}, "user_query: expected string, got object"),
            ({"user_query": "x" * 1_000_000}, "user_query: is longer than 100000 characters"),
            ({"user_query": "a\0b"}, "user_query: contains the character U+0000 at position 1"),
            ({"user_query": "\ud800"}, "user_query: contains the character U+D800 at position 0"),
            ({"user_query": "x", "max_tokens": 0}, "max_tokens: is less than 1"),
            ({"user_query": "x", "max_tokens": 2**40}, "max_tokens: is more than 1000000"),
            ({"user_query": "x", "max_tokens": "5"}, "max_tokens: expected integer, got string"),
            ({"user_query": "x", "max_tokens": 1.5}, "max_tokens: expected integer, got number"),
            ({"user_query": "x", "ai_provider": "G P T"}, "ai_provider: expected auto, or the name of a provider"),
        ],
    )
    def test_names_variable_and_rule(self, variables: dict[str, Any], message: str) -> None:
        assert refusal(**variables) == message

    def test_reports_every_problem(self) -> None:
        message = refusal(user_query=5, max_tokens=0, format_type="html")
        assert message == (
            'user_query: expected string, got integer; max_tokens: is less than 1; format_type: expected one of "text",'
            ' "json"'
        )

    def test_never_repeats_a_value(self) -> None:
        assert "secret" not in refusal(user_query="x", user_id="secret" * 100, ai_provider="secret", model=["secret"])

    def test_takes_the_schema_as_text(self) -> None:
        assert validate(schema=json.dumps(SCHEMA), user_query="why?")["valid"]

    @pytest.mark.parametrize("schema", [None, "not json", "[]", 5, '"text"', '{"type": "object", "type": "array"}'])
    def test_refuses_a_schema_that_is_none(self, schema: object) -> None:
        with pytest.raises(ValidationError, match="schema"):
            InputValidationInput.model_validate({"schema": schema})

    def test_sees_a_date_as_its_iso_text(self) -> None:
        schema = {"properties": {"due": {"type": "string", "format": "date-time"}}}
        assert validate(schema=schema, due=datetime(2026, 11, 23, tzinfo=UTC))["valid"]
        assert refusal(schema=schema, due="tomorrow") == "due: is not of the format date-time"


class TestReport:
    def test_tells_everything_as_variables(self) -> None:
        assert validate(
            on_invalid="report", schema={"required": ["a"], "properties": {"b": {"type": "null"}}}, b=1
        ) == {
            "valid": False,
            "validation_errors": ["a: is missing", "b: expected null, got integer"],
            "errors": [
                {"path": "/a", "keyword": "required", "schema_path": "/required", "message": "is missing"},
                {
                    "path": "/b",
                    "keyword": "type",
                    "schema_path": "/properties/b/type",
                    "message": "expected null, got integer",
                },
            ],
        }

    def test_says_that_all_is_well(self) -> None:
        assert validate(on_invalid="report", user_query="why?") == {
            "valid": True,
            "validation_errors": [],
            "errors": [],
        }

    def test_writes_paths_as_json_pointers(self) -> None:
        found = validate(on_invalid="report", data={"a/b~c": [1]}, schema={"additionalProperties": {"maxItems": 0}})
        assert found["errors"][0]["path"] == "/a~1b~0c"


class TestData:
    @pytest.mark.parametrize("data", [[1], "text", 7, False, {"a": 1}])
    def test_is_what_is_checked(self, data: object) -> None:
        assert validate(data=data, schema={"const": data}, other="variable")["valid"]

    def test_may_be_a_text_of_json(self) -> None:
        assert validate(data='\ufeff{"a": [1]}', data_format="json", schema={"required": ["a"]})["valid"]

    def test_that_is_null_leaves_the_variables(self) -> None:
        assert refusal(data=None, schema={"required": ["a"]}) == "a: is missing"

    def test_has_its_faults_named_by_the_way_into_it(self) -> None:
        schema = {"items": {"properties": {"n": {"minimum": 3}}}}
        assert refusal(data=[{"n": 3}, {"n": 2}], schema=schema) == "[1].n: is less than 3"


class TestNamedSchema:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "order").mkdir()
        (tmp_path / "order.json").write_text('{"required": ["number"]}')
        (tmp_path / "order" / "1.json").write_text('{"required": ["id"]}')
        (tmp_path / "order" / "2.json").write_text("{")
        (tmp_path / "customer").mkdir()
        (tmp_path / "customer" / "v1.json").write_text("true")
        return tmp_path

    def found(self, folder: Path, name: str, version: str | None = None) -> list[str]:
        context = context_of("input_validation", PROCOS_SCHEMA_DIRECTORY=str(folder))
        given: dict[str, Any] = {"schema_name": name, "schema_version": version, "data": {}, "on_invalid": "report"}
        return input_validation(InputValidationInput.model_validate(given), context).validation_errors

    def test_is_a_file_of_the_folder(self, folder: Path) -> None:
        assert self.found(folder, "order") == ["number: is missing"]

    def test_may_have_versions(self, folder: Path) -> None:
        assert self.found(folder, "order", "1") == ["id: is missing"]

    def test_counts_from_the_next_step_on_where_it_was_changed(self, folder: Path) -> None:
        self.found(folder, "order")
        (folder / "order.json").write_text('{"required": ["date"]}')
        assert self.found(folder, "order") == ["date: is missing"]

    @pytest.mark.parametrize(
        ("name", "version", "said"),
        [
            ("ordr", None, "no schema is named 'ordr'; known: customer, order; did you mean order?"),
            ("order", "3", "schema 'order' has no version '3'; there are 1, 2"),
            ("customer", None, "schema 'customer' has versions: name one by schema_version; there are v1"),
            ("nobody", "1", "no schema is named 'nobody' with a version '1'; known: customer, order"),
        ],
    )
    def test_that_is_not_there_is_named(self, folder: Path, name: str, version: str | None, said: str) -> None:
        with pytest.raises(PermanentError) as raised:
            self.found(folder, name, version)
        assert (raised.value.code, str(raised.value)) == ("UNKNOWN_SCHEMA", said)

    @pytest.mark.parametrize(
        ("name", "version", "said"),
        [
            (
                "order",
                "2",
                "schema 'order/2' is no JSON: Expecting property name enclosed in double quotes (line 1, column",
            ),
            ("customer", "v1", "schema 'customer/v1' is no JSON object"),
        ],
    )
    def test_that_is_none_is_refused(self, folder: Path, name: str, version: str | None, said: str) -> None:
        with pytest.raises(PermanentError) as raised:
            self.found(folder, name, version)
        assert raised.value.code == "SCHEMA_INVALID"
        assert str(raised.value).startswith(said)

    def test_needs_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(PermanentError, match=r"PROCOS_SCHEMA_DIRECTORY is '.*nowhere', which is no folder"):
            self.found(tmp_path / "nowhere", "order")
        given = InputValidationInput.model_validate({"schema_name": "order"})
        with pytest.raises(PermanentError, match="PROCOS_SCHEMA_DIRECTORY is not set"):
            input_validation(given, CONTEXT)

    @pytest.mark.parametrize("given", [{}, {"schema": {}, "schema_name": "a"}, {"schema": {}, "schema_version": "1"}])
    def test_is_given_in_one_way(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=r"expected either schema or schema_name|goes with schema_name"):
            InputValidationInput.model_validate(given)


class TestMessage:
    def test_says_how_many_problems_had_no_room(self) -> None:
        found = [Problem(place=f"variable_{number}", reason="is missing") for number in range(100)]
        message = message_of(found)
        assert len(message) <= LONGEST_MESSAGE
        shown = message.count("is missing")
        assert message.endswith(f"; and {100 - shown} more")

    def test_cuts_a_single_long_problem(self) -> None:
        message = message_of([Problem(place="x" * 1000, reason="is missing")])
        assert len(message) == LONGEST_MESSAGE
        assert message.endswith("…")


class TestProblems:
    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "strin"},
            {"properties": {"a": {"pattern": "("}}},
            {"properties": {"a": {"pattern": "(?=x)"}}},
            {"properties": {"a": {"format": "date-tiem"}}},
            {"$schema": "http://127.0.0.1:9/meta"},
            {"$ref": "#/$defs/nowhere"},
            {"$ref": "file:///etc/passwd"},
        ],
    )
    def test_calls_a_wrong_schema_the_models_mistake(self, schema: dict[str, Any]) -> None:
        with pytest.raises(PermanentError, match="the JSON Schema of this step is wrong") as raised:
            problems(schema, {})
        assert raised.value.code == "SCHEMA_INVALID"

    def test_says_where_a_schema_is_wrong(self) -> None:
        with pytest.raises(PermanentError, match=r"is wrong at #/properties/order/properties/due/type: "):
            check_schema({"properties": {"order": {"properties": {"due": {"type": "strin"}}}}})

    def test_judges_any_json_value(self) -> None:
        assert problems({"type": "array", "minItems": 1, "uniqueItems": True}, ["a"]) == []
        assert [str(each) for each in problems({"type": "array", "minItems": 3, "uniqueItems": True}, [1, 1])] == [
            "(all): has fewer than 3 items",
            "(all): has an item twice",
        ]

    def test_does_not_fetch_a_reference(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            with pytest.raises(PermanentError):
                problems({"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"}, {})
            with pytest.raises(BlockingIOError):
                server.accept()

    def test_is_not_held_up_by_a_hostile_pattern(self) -> None:
        schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
        assert problems(schema, {"a": "a" * 50_000 + "!"}) == [
            Problem(
                place="a",
                reason="breaks the rule 'pattern'",
                path="/a",
                keyword="pattern",
                schema_path="/properties/a/pattern",
            )
        ]

    def test_names_the_way_into_a_value(self) -> None:
        schema = {
            "$defs": {"line": {"required": ["amount"], "additionalProperties": False, "properties": {"amount": {}}}},
            "properties": {"order": {"properties": {"lines": {"items": {"$ref": "#/$defs/line"}}}}},
        }
        found = problems(schema, {"order": {"lines": [{"amount": 1}, {"price": 2}]}})
        assert {str(problem) for problem in found} == {
            "order.lines[1]: has members it should not have: price",
            "order.lines[1].amount: is missing",
        }

    def test_finds_unstorable_text_anywhere(self) -> None:
        found = problems({}, {"order": {"lines": [{"name": "a\0"}], "\0": 1}})
        assert {problem.place for problem in found} == {"order", "order.lines[0].name"}

    def test_stops_at_a_limit(self) -> None:
        assert len(problems({"additionalProperties": {"type": "string"}}, {str(n): n for n in range(100)})) == (
            MOST_PROBLEMS
        )

    @given(st.dictionaries(st.sampled_from(NAMES), VALUES | st.lists(VALUES, max_size=3), max_size=4))
    def test_judges_any_document(self, document: dict[str, Any]) -> None:
        assert all(problem.reason for problem in problems(SCHEMA, document))
