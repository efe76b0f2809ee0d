"""Checks documents against JSON Schemas, as a function or in a process of its own, which can be killed.

`tasks.generic.json_schema` calls it where a schema and a document are small and simple, and has it asked beside the
worker (`tasks.side_program`) otherwise: with references or `unevaluatedProperties` a few lines of a schema can take for
ever. There the file has no path to the rest of ProcOS, so it imports nothing of it.

A schema refers to nothing outside itself, formats count, and patterns run in time linear in the text.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_MEMORY = 1024 * 1024 * 1024
DEEPEST_STACK = 5000
KEPT = 256
"""Compiled schemas that are kept."""
MOST_LISTED = 20
"""Options, types or names of members in one finding."""
FACTS = ("property", "types", "options", "expected_value", "limit", "format", "unexpected")
Finding = dict[str, Any]
"""What breaks which rule: paths, `keyword`, `type` of the value, the `facts` of the rule, and how many `more`."""


class WrongSchemaError(Exception):
    """Raised when a schema is wrong itself, or refers to another document; says where."""


@lru_cache(maxsize=KEPT)
def validator(schema: str) -> jsonschema_rs.Validator:
    """Compile a schema.

    Raises:
        WrongSchemaError: it cannot be.
    """
    try:
        return jsonschema_rs.validator_for(
            json.loads(schema),
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
        reason = str(error).partition("\n")[0]
        raise WrongSchemaError(f"{_place_in_schema(error)}: {reason}") from error


def findings(schema: str, document: Any, most: int) -> list[Finding]:
    """Return what breaks the rules of a schema, at most so many things.

    Raises:
        WrongSchemaError: the schema is wrong.
    """
    compiled = validator(schema)
    if compiled.is_valid(document):
        return []
    found: list[Finding] = []
    for error in compiled.iter_errors(document):
        found.append(_finding(error))
        if len(found) == most:
            break
    return found


def answer(request: bytes) -> bytes:
    """Answer one question of the parent."""
    try:
        asked = json.loads(request)
        if "document" not in asked:
            validator(asked["schema"])
            return json.dumps({"findings": []}).encode()
        if asked["most"] == 0:
            return json.dumps({"valid": validator(asked["schema"]).is_valid(asked["document"])}).encode()
        return json.dumps({"findings": findings(asked["schema"], asked["document"], asked["most"])}).encode()
    except WrongSchemaError as error:
        return json.dumps({"wrong": str(error)}).encode()
    except Exception as error:  # noqa: BLE001  # every end is an answer
        return json.dumps({"fault": type(error).__name__}).encode()


def _finding(error: jsonschema_rs.ValidationError) -> Finding:
    facts = error.kind.as_dict()
    return {
        "path": list(error.instance_path),
        "schema_path": list(error.schema_path),
        "keyword": error.kind.name,
        "type": _type_of(error.instance),
        "facts": {name: _short(facts[name]) for name in FACTS if name in facts},
        "more": max([len(fact) - MOST_LISTED for fact in facts.values() if isinstance(fact, list)], default=0),
    }


def _short(fact: Any) -> Any:
    return fact[:MOST_LISTED] if isinstance(fact, list) else fact


def _type_of(value: object) -> str:
    names: Mapping[type, str] = {
        bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
    }  # fmt: skip
    return names.get(type(value), "null")


def _place_in_schema(error: Exception) -> str:
    steps = error.instance_path if isinstance(error, jsonschema_rs.ValidationError) else []
    return f" at {'/'.join(['#', *map(str, steps)])}" if steps else ""
