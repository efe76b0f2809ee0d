"""Makes a JSON Schema one that OpenAI's strict mode takes, or says that it cannot be one.

In strict mode a model cannot write anything else than the schema allows. In return the schema has to be of a narrow
kind: an object, each object with all its members required and no others, few rules beside that, and any rule too many
is answered by 400. So what is sent is narrower than the schema, or leaves rules out and tells them in words; the answer
is checked against the whole schema afterwards in any case. Where narrowing would change what is meant, as with members
that may be missing, the schema is sent as it is and not strictly.

The adapters call `strict_schema`. Source: OpenAI documentation, "Structured model outputs", supported schemas; rules
that it names and that servers of the same dialect have refused are left out too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "$ref", "$defs"}
)
TOLD = frozenset(
    {
        *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
)
"""Rules that are told in the description, and checked afterwards."""
DROPPED = frozenset({"$schema", "$comment", "title", "default", "examples", "deprecated", "readOnly", "writeOnly"})
DEEPEST = 10
MOST_MEMBERS, MOST_OPTIONS = 5000, 1000
"""How many members and enum values a strict schema may have in all."""


class _NotStrictError(Exception):
    """The schema says what strict mode cannot."""


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema as strict mode takes it, or None where it has to be sent as it is."""
    if schema.get("type") != "object":
        return None
    try:
        strict = _strict(schema, 0)
    except _NotStrictError:
        return None
    members, options = _counted(strict)
    return strict if members <= MOST_MEMBERS and options <= MOST_OPTIONS else None


def _strict(schema: Any, depth: int) -> dict[str, Any]:
    if not isinstance(schema, dict) or depth > DEEPEST or schema.keys() - KEPT - TOLD - DROPPED - {"description"}:
        raise _NotStrictError
    if "$ref" in schema:
        return _reference(schema)
    strict = {name: schema[name] for name in ("type", "enum", "const") if name in schema}
    if not strict and "anyOf" not in schema:
        raise _NotStrictError  # anything goes
    if told := _told(schema):
        strict["description"] = told
    strict |= _object(schema, depth) if "object" in _types(schema) or "properties" in schema else {}
    strict |= {"items": _strict(schema.get("items"), depth + 1)} if "array" in _types(schema) else {}
    if "anyOf" in schema:
        strict["anyOf"] = [_strict(each, depth) for each in schema["anyOf"]]
    if "$defs" in schema:
        strict["$defs"] = {name: _strict(each, 0) for name, each in schema["$defs"].items()}
    return strict


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _object(schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    members = schema.get("properties")
    is_closed = schema.get("additionalProperties", False) is False
    if not members or not is_closed or members.keys() != set(schema.get("required", ())):
        raise _NotStrictError
    return {
        "properties": {name: _strict(member, depth + 1) for name, member in members.items()},
        "required": list(members),
        "additionalProperties": False,
    }


def _reference(schema: Mapping[str, Any]) -> dict[str, Any]:
    reference = schema["$ref"]
    if not (reference == "#" or reference.startswith("#/$defs/")) or schema.keys() - DROPPED - {"$ref", "description"}:
        raise _NotStrictError
    return {"$ref": reference}


def _told(schema: Mapping[str, Any]) -> str:
    """Return the description, and the rules that strict mode is not given."""
    rules = ", ".join(f"{rule} {json.dumps(schema[rule], ensure_ascii=False)}" for rule in schema if rule in TOLD)
    return " ".join(filter(None, [str(schema.get("description", "")), rules and f"({rules})"]))


def _counted(strict: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many members and enum values there are in all."""
    members = options = 0
    left: list[Any] = [strict]
    while left:
        part = left.pop()
        properties = part.get("properties", {})
        members += len(properties)
        options += len(part.get("enum", ()))
        left += [*properties.values(), *part.get("anyOf", ()), *part.get("$defs", {}).values()]
        left += [part["items"]] if "items" in part else []
    return members, options
