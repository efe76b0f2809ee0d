"""Which schemas strict mode takes, and what of them is told in words instead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ai.strict_schema import strict_schema
from tasks.generic.json_schema import problems

TEXT = {"type": "string"}


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


LEAVES = st.sampled_from(
    [TEXT, {"type": "integer", "minimum": 0}, {"enum": ["a", "b"]}, {"type": ["string", "null"]}, {"const": 1}]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(closed)
        | inner.map(lambda items: {"type": "array", "items": items, "maxItems": 3})
        | st.lists(inner, min_size=1, max_size=2).map(lambda either: {"anyOf": either})
    ),
    max_leaves=6,
)


def fitting(schema: dict[str, Any]) -> Any:
    """Return a value that a schema takes."""
    for keyword in ("enum", "anyOf"):
        if keyword in schema:
            first = schema[keyword][0]
            return fitting(first) if keyword == "anyOf" else first
    if schema.get("type") == "object":
        return {name: fitting(member) for name, member in schema["properties"].items()}
    if schema.get("type") == "array":
        return [fitting(schema["items"])] * 2
    return {"string": "x", "integer": 0}.get(str(schema.get("type")), schema.get("const"))


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = dict(TEXT)
    for _ in range(levels):
        schema = closed({"a": schema})
    return schema


class TestStrictSchema:
    def test_is_the_schema_where_that_is_strict(self) -> None:
        schema = closed({"a": TEXT, "b": {"type": "array", "items": closed({"c": {"enum": [1, 2]}})}})
        assert strict_schema(schema) == schema

    def test_is_narrowed_to_the_members_that_are_named(self) -> None:
        assert strict_schema({"type": "object", "properties": {"a": TEXT}, "required": ["a"]}) == closed({"a": TEXT})

    def test_tells_rules_in_words(self) -> None:
        schema = closed({"a": {"type": "string", "description": "A name.", "minLength": 1, "pattern": "^[a-z]+$"}})
        (told,) = (strict_schema(schema) or {})["properties"].values()
        assert told == {"type": "string", "description": 'A name. (minLength 1, pattern "^[a-z]+$")'}

    def test_leaves_out_what_is_no_rule(self) -> None:
        schema = closed({"a": {"type": "string", "default": "x", "title": "A", "examples": ["y"]}}, title="T")
        assert strict_schema(schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"}) == closed(
            {"a": TEXT}
        )

    def test_keeps_references(self) -> None:
        schema = closed({"a": {"$ref": "#/$defs/b", "description": "x"}}, **{"$defs": {"b": closed({"c": TEXT})}})
        strict = strict_schema(schema)
        assert strict is not None
        assert strict["properties"] == {"a": {"$ref": "#/$defs/b"}}
        assert strict["$defs"] == {"b": closed({"c": TEXT})}

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "array", "items": TEXT},
            {"anyOf": [closed({"a": TEXT})]},
            {"type": "object"},
            {"type": "object", "properties": {"a": TEXT}},  # a may be missing
            {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": True},
            {"type": "object", "properties": {"a": TEXT}, "required": ["a", "b"]},
            closed({"a": {}}),
            closed({"a": True}),
            closed({"a": {"type": "array"}}),
            closed({"a": {"type": "object", "additionalProperties": TEXT}}),
            closed({"a": {"oneOf": [TEXT]}}),
            closed({"a": {"allOf": [TEXT]}}),
            closed({"a": {"not": TEXT}}),
            closed({"a": TEXT}, patternProperties={"^x": TEXT}),
            closed({"a": {"$ref": "#/definitions/b"}}, definitions={"b": TEXT}),
            closed({"a": {"$ref": "#/$defs/b", "minLength": 1}}, **{"$defs": {"b": TEXT}}),
            closed({"a": {"enum": list(range(1001))}}),
            nested(12),
        ],
        ids=range(18),
    )
    def test_is_none_where_it_cannot_be_strict(self, schema: dict[str, Any]) -> None:
        assert strict_schema(schema) is None

    def test_may_be_some_levels_deep(self) -> None:
        assert strict_schema(nested(10)) == nested(10)

    @given(st.dictionaries(st.sampled_from("abc"), SCHEMAS, min_size=1).map(closed))
    def test_takes_what_the_schema_takes(self, schema: dict[str, Any]) -> None:
        strict = strict_schema(schema)
        assert strict is not None
        assert problems(schema, fitting(schema)) == []
        assert problems(strict, fitting(schema)) == []
