"""Schemas and documents that mean harm: each ends soon, as a verdict or an error of ours, and calls nobody."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from procos.domain.errors import PermanentError, TaskError, TransientError
from tasks.generic import json_schema, schema_check
from tasks.generic.input_validation import InputValidationInput, input_validation
from tasks.side_processes import SideProcesses
from tests.shapes import context_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = context_of("input_validation")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
RULES = ["type", "properties", "items", "required", "pattern", "enum", "$ref", "allOf", "not", "minimum", "format"]


def nested(levels: int) -> dict[str, Any]:
    return reduce(lambda inner, _: {"properties": {"a": inner}}, range(levels), {})


def in_lists(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def exploding(levels: int) -> dict[str, Any]:
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": {**steps, f"a{levels}": {"type": "string"}}}


def unevaluated(levels: int) -> dict[str, Any]:
    start: dict[str, Any] = {"properties": {"a": True}}
    return reduce(lambda inner, _: {"allOf": [inner], "unevaluatedProperties": False}, range(levels), start)


WRONG: dict[str, Any] = {
    "ref-file": {"$ref": "file:///etc/passwd"},
    "ref-http": {"$ref": "http://127.0.0.1:9/schema.json"},
    "ref-metadata": {"$ref": "http://169.254.169.254/latest/meta-data"},
    "ref-relative": {"$id": "http://example.org/a", "$ref": "b"},
    "ref-nowhere": {"$ref": "#/$defs/nowhere"},
    "meta-http": {"$schema": "http://127.0.0.1:9/meta"},
    "wrong-type": {"type": "strin"},
    "wrong-properties": {"properties": []},
    "wrong-required": {"required": "a"},
    "wrong-enum": {"enum": 5},
    "pattern-bomb": {"pattern": "(a{1000}){1000}"},
    "pattern-lookahead": {"pattern": "(?=a)b"},
    "pattern-broken": {"pattern": "("},
    "deep-schema": nested(300),
    "deeper-schema": nested(3000),
    "large-schema": {"description": "x" * 300_000},
    "nan-schema": {"minimum": float("nan")},
}
"""Refused whatever the document is: the model's mistake."""

LOOPS: dict[str, Any] = {
    "ref-itself": {"$ref": "#"},
    "all-of-itself": {"allOf": [{"$ref": "#"}]},
    "dynamic-ref": {"$dynamicAnchor": "a", "$dynamicRef": "#a"},
    "defs-cycle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "not-itself": {"not": {"$ref": "#"}},
    "tree-doubled": {
        "$defs": {"n": {"properties": {"a": {"allOf": [{"$ref": "#/$defs/n"}] * 2}}}},
        "$ref": "#/$defs/n",
    },
    "all-of-explosion": exploding(40),
    "unevaluated-explosion": unevaluated(40),
}
"""Each ends, with a verdict or by its limit."""

DOCUMENTS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "pattern-backtracking": ({"pattern": "^(a+)+$"}, "a" * 50_000 + "!", "(all): breaks the rule 'pattern'"),
    "zero": ({}, {"a": "x\0"}, "a: contains the character U+0000 at position 1"),
    "surrogate": ({}, {"a": "\ud800"}, "a: contains the character U+D800 at position 0"),
    "zero-name": ({}, {"\0": 1}, "(all): contains the character U+0000 at position 0"),
    "infinity": ({"type": "number"}, [float("inf")], "[0]: is no finite number"),
    "nan": ({}, float("nan"), "(all): is no finite number"),
    "10^400": ({"maximum": 5}, 10**400, "(all): is a number of more than 308 digits"),
    "long-name": ({}, {"x" * 2000: 1}, "(all): has a name of more than 1000 characters"),
    "depth": ({}, in_lists(150), "is nested too deeply: more than 100 levels"),
    "10-megabytes": ({"maxLength": 5}, "x" * 10_000_000, "(all): is longer than 5 characters"),
    "huge-enum": ({"enum": list(range(20_000))}, "x", "expected one of 0, 1, 2"),
    "unexpected-names": (
        {"properties": {"a": {}}, "additionalProperties": False},
        {f"n{n}": 1 for n in range(999)},
        "and 979 more",
    ),
    "markup": ({"type": "object"}, "<script>alert(1)</script>", "(all): expected object, got string"),
}

CROWDED: dict[str, tuple[dict[str, Any], Any]] = {
    "each-item": ({"items": {"allOf": [{"minimum": 5}] * 400}}, [1] * 400),
    "one-list": ({"allOf": [{"type": "string"}] * 400}, [1] * 400),
    "one-text": ({"allOf": [{"minLength": 99_999}] * 400}, "x" * 60_000),
}
"""Small schemas and documents, of which each rule and each value make a problem."""

TEXTS = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "many-digits": "1" * 200_000,
    "1e400": "[1e400]",
    "nan": "NaN",
    "twice": '{"a": 1, "a": 2}',
    "truncated": '{"a": ',
    "empty": "",
}

NAMES = {
    "parents": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "zero": "a\0b",
    "backslash": "..\\secret",
    "long": "a" * 1000,
    "line": "order\n",
}


@pytest.fixture(autouse=True, scope="module")
def _impatient() -> Iterator[None]:
    """Let checks beside the worker have a fraction of the time that they have in a worker."""
    impatient = SideProcesses(Path(schema_check.__file__), within=timedelta(seconds=0.4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_schema, "_BESIDE", impatient)
        yield
    impatient.close()


def validate(**variables: Any) -> list[str]:
    step = InputValidationInput.model_validate({"on_invalid": "report", **variables})
    return input_validation(step, CONTEXT).validation_errors


class TestHostileSchema:
    @pytest.mark.parametrize("schema", WRONG.values(), ids=WRONG)
    def test_is_the_models_mistake(self, schema: dict[str, Any]) -> None:
        with pytest.raises(PermanentError) as raised:
            validate(schema=schema, data={"a": 1})
        assert raised.value.code == "SCHEMA_INVALID"

    @pytest.mark.parametrize("schema", LOOPS.values(), ids=LOOPS)
    def test_ends(self, schema: dict[str, Any]) -> None:
        try:
            validate(schema=schema, data={"a": {"a": {"a": 1}}})
        except TransientError as error:
            assert error.code == "VALIDATION_NOT_ENDED"  # noqa: PT017  # others have a verdict

    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
    def test_of_a_wrong_text_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError, match="schema"):
            InputValidationInput.model_validate({"schema": text})

    def test_of_a_text_that_is_too_long_is_not_read(self) -> None:
        with pytest.raises(PermanentError, match="has 262145 characters, at most 262144 are read") as raised:
            InputValidationInput.model_validate({"schema": "{".ljust(262_145)})
        assert raised.value.code == "SCHEMA_INVALID"

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_has_no_name_with_a_path(self, name: str, tmp_path: Path) -> None:
        context = context_of("input_validation", PROCOS_SCHEMA_DIRECTORY=str(tmp_path))
        for given_names in ({"schema_name": name}, {"schema_name": "order", "schema_version": name}):
            with pytest.raises(PermanentError) as raised:
                input_validation(InputValidationInput.model_validate(given_names), context)
            assert raised.value.code == "UNKNOWN_SCHEMA"
            assert "passwd" not in str(raised.value)

    @settings(max_examples=80, deadline=None)
    @given(schema=st.dictionaries(st.sampled_from(RULES), JSON, max_size=3), data=JSON)
    def test_ends_as_a_verdict_or_an_error_of_ours(self, schema: dict[str, Any], data: object) -> None:
        try:
            validate(schema=schema, data=data)
        except TaskError as error:
            assert str(error)  # noqa: PT017  # most have a verdict


class TestHostileDocument:
    @pytest.mark.parametrize(("schema", "data", "said"), DOCUMENTS.values(), ids=DOCUMENTS)
    def test_is_refused(self, schema: dict[str, Any], data: Any, said: str) -> None:
        (found,) = validate(schema=schema, data=data)
        assert said in found
        assert len(found) < 1500

    def test_with_a_million_faults_has_one(self) -> None:
        (found,) = validate(schema={"items": {"type": "string"}}, data=[1] * 300_000)
        assert found.startswith("(all): is not valid; its problems are too many")

    @pytest.mark.parametrize(("schema", "data"), CROWDED.values(), ids=CROWDED)
    def test_with_a_problem_for_each_of_many_rules_is_judged_beside_the_worker(
        self, schema: dict[str, Any], data: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def in_the_worker(*_: object) -> list[Any]:
            raise AssertionError

        monkeypatch.setattr(schema_check, "findings", in_the_worker)
        assert validate(schema=schema, data=data)

    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
    def test_of_a_wrong_text_is_refused(self, text: str) -> None:
        with pytest.raises(TaskError, match="INVALID_INPUT: data: "):
            validate(schema={}, data=text, data_format="json")

    def test_with_half_a_character_in_a_name_is_no_json(self) -> None:
        with pytest.raises(TaskError, match="INVALID_INPUT: data: cannot be written as JSON"):
            validate(schema={}, data={"\ud800": 1})

    def test_names_no_value(self) -> None:
        assert "hunter2" not in json.dumps(validate(schema={"type": "object"}, data="hunter2"))
