"""Answers of a shape: what is read, what is said of one that does not fit, and how it is asked for again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from procos.domain.errors import BusinessError, PermanentError
from tasks.ai.conversation import Answer, FinishReason, Message, Question, Role
from tasks.ai.structured import (
    CUT_OFF,
    LARGEST_SCHEMA,
    LONGEST_PROBLEM,
    Reading,
    read_structured,
    repair_question,
    schema_from,
    schema_instruction,
    unfit,
    with_schema_told,
)

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
USER = Message(role=Role.USER, content="Who?")
QUESTION = Question(
    messages=(USER,), model="m", max_tokens=9, temperature=0.0, json_schema=SCHEMA, idempotency_key="task-1"
)


def said(text: str, **facts: Any) -> Answer:
    return Answer(**{"text": text, "model": "m", "finish_reason": FinishReason.STOP, **facts})


def read(text: str, **facts: Any) -> Reading:
    return read_structured(said(text, **facts), SCHEMA)


class TestSchemaFrom:
    @pytest.mark.parametrize("given", [SCHEMA, json.dumps(SCHEMA), f"\n{json.dumps(SCHEMA)}"])
    def test_takes_an_object_or_its_text(self, given: object) -> None:
        assert schema_from(given) == SCHEMA

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ("{", "of this step is not JSON at line 1, column 2"),
            ('{"type": "object", "type": "array"}', "of this step has the member 'type' twice in one object"),
            ("[]", "of this step is a list, expected an object"),
            (None, "of this step is a NoneType, expected an object"),
            ({"description": "x" * LARGEST_SCHEMA}, f"of this step is larger than {LARGEST_SCHEMA} characters"),
            (f'{{"a": "{"x" * LARGEST_SCHEMA}"}}', f"of this step is larger than {LARGEST_SCHEMA} characters"),
            ({"enum": [object()]}, "of this step holds what JSON cannot"),
            ({"properties": {"a": {"type": "strin"}}}, "of this step is wrong at #/properties/a/type: "),
            ({"$ref": "http://127.0.0.1:9/schema"}, "of this step is wrong"),
        ],
        ids=range(9),
    )
    def test_says_what_is_wrong_before_anything_is_asked(self, given: object, reason: str) -> None:
        with pytest.raises(PermanentError, match=r"^the JSON Schema ") as raised:
            schema_from(given)
        assert raised.value.code == "SCHEMA_INVALID"
        assert reason in str(raised.value)


class TestReadStructured:
    def test_returns_a_value_that_fits(self) -> None:
        assert read('Here:\n```json\n{"name": "Ann", "age": 7}\n```') == Reading(value={"name": "Ann", "age": 7})

    def test_cleans_the_texts_of_a_value_and_says_so(self) -> None:
        found = read('{"name": "A\\u0000nn", "age": 7}')
        assert found == Reading(value={"name": "Ann", "age": 7}, was_cleaned=True)
        assert read('{"name": "Ann", "age": 7}', was_cleaned=True).was_cleaned

    @pytest.mark.parametrize(
        ("text", "problems"),
        [
            ("I do not know.", ["the answer is not JSON at line 1, column 1 (Expecting value)"]),
            ('{"name": 1}', ["age: is missing", "name: expected string, got integer"]),
            ('{"name": "secret", "age": -1}', ["age: is less than 0"]),
            ('{"name": "", "age": 1, "title": "secret"}', ["(all): has members it should not have: title"]),
            ("[]", ["(all): expected object, got array"]),
        ],
    )
    def test_says_what_does_not_fit(self, text: str, problems: list[str]) -> None:
        found = read(text).problems
        assert sorted(found) == problems
        assert "secret" not in "".join(found)

    def test_says_it_in_few_words(self) -> None:
        (problem,) = read(json.dumps({"name": "", "age": 1, "x" * 1000: 1})).problems
        assert len(problem) == LONGEST_PROBLEM

    def test_does_not_read_an_answer_that_was_cut_off(self) -> None:
        with pytest.raises(BusinessError) as raised:
            read('{"name": "Ann", "age": 7}', finish_reason=FinishReason.LENGTH)
        assert (raised.value.code, raised.value.message) == ("VALIDATION_FAILED", CUT_OFF)

    def test_looks_for_a_list_where_one_is_asked_for(self) -> None:
        schema = {"type": "array", "items": {"type": "integer"}}
        assert read_structured(said("The lines are [1, 2]."), schema).value == [1, 2]


class TestRepairQuestion:
    def test_shows_the_answer_and_says_what_is_wrong_with_it(self) -> None:
        asked = repair_question(QUESTION, said('{"name": 1}'), ["age: is missing", "name: expected string"])
        first, answer, complaint = asked.messages
        assert (first, answer) == (USER, Message(role=Role.ASSISTANT, content='{"name": 1}'))
        assert complaint.role is Role.USER
        assert "- age: is missing\n- name: expected string\n" in complaint.content

    def test_is_another_request_to_the_provider(self) -> None:
        assert repair_question(QUESTION, said("x"), ["y"]).idempotency_key == "task-1-repair"


class TestUnfit:
    def test_is_an_error_the_model_can_catch_with_every_problem(self) -> None:
        error = unfit([f"member_{number}: is missing" for number in range(100)])
        assert error.code == "VALIDATION_FAILED"
        assert len(error.message) <= 666
        assert error.variables["validation_errors"] == [f"member_{number}: is missing" for number in range(100)]


class TestSchemaInWords:
    def test_is_told_in_a_system_message(self) -> None:
        system, user = with_schema_told(QUESTION).messages
        assert (system.role, system.content, user) == (Role.SYSTEM, schema_instruction(SCHEMA), USER)
        assert json.dumps(SCHEMA) in system.content

    def test_is_added_to_the_one_there_is(self) -> None:
        asked = Question(
            messages=(Message(role=Role.SYSTEM, content="Be kind."), USER),
            model="m",
            max_tokens=9,
            temperature=0.0,
            json_schema=SCHEMA,
        )
        told = with_schema_told(asked)
        assert [message.content for message in told.messages] == [f"Be kind.\n\n{schema_instruction(SCHEMA)}", "Who?"]
        assert told.json_schema is None

    def test_is_told_once(self) -> None:
        assert with_schema_told(with_schema_told(QUESTION)) == with_schema_told(QUESTION)
