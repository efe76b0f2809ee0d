"""Checks a document against a JSON Schema (2020-12 where it does not say), and says what is wrong in words.

The words name the place and the rule, never the value: values are the process's own and stay out of errors and logs.
Schemas refer to nothing outside themselves, formats count, and patterns run in time linear in the text, so neither a
schema nor a document can make a worker call elsewhere or hang. `tasks.generic.input_validation` checks variables with
it, `tasks.ai.structured` the answers of models.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from procos.domain.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_PROBLEMS = 50
LONGEST_MESSAGE = 666
"""What the engine keeps of an error's message."""
WHOLE = "(all)"
UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
"""What no database or provider takes as text."""
LIMITS = {
    "maxLength": "is longer than {} characters",
    "minLength": "is shorter than {} characters",
    "minimum": "is less than {}",
    "maximum": "is more than {}",
    "exclusiveMinimum": "is not more than {}",
    "exclusiveMaximum": "is not less than {}",
    "minItems": "has fewer than {} items",
    "maxItems": "has more than {} items",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, and where: a variable's name, followed by the way into it."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that is wrong itself, before anything is done that it is for.

    Raises:
        PermanentError: it is no JSON Schema, or refers to another document; says where.
    """
    _validator(json.dumps(schema, sort_keys=True))


def problems(schema: Mapping[str, Any], document: Any) -> list[Problem]:
    """Return what is wrong with a JSON value, at most `MOST_PROBLEMS` things; nothing where it is valid.

    Raises:
        PermanentError: the schema is wrong itself, or refers to another document.
    """
    validator = _validator(json.dumps(schema, sort_keys=True))
    unreadable = list(_unreadable(document))
    if unreadable:
        return unreadable[:MOST_PROBLEMS]
    found: list[Problem] = []
    for error in validator.iter_errors(document):
        found.append(_problem(error, schema))
        if len(found) == MOST_PROBLEMS:
            break
    return found


def message_of(found: Sequence[Problem | str]) -> str:
    """Write all problems as one message the engine keeps whole; says how many had no room."""
    message = ""
    for number, problem in enumerate(found):
        longer = f"{message}; {problem}" if message else str(problem)
        rest = f"; and {len(found) - number} more"
        if len(longer) + len(rest) > LONGEST_MESSAGE:
            return message + rest if message else longer[: LONGEST_MESSAGE - 1] + "…"
        message = longer
    return message


@lru_cache(maxsize=256)
def _validator(schema: str) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(
            json.loads(schema),
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        reason = str(error).partition("\n")[0]
        raise PermanentError(
            f"the JSON Schema of this step is wrong{_place_in_schema(error)}: {reason}", code="SCHEMA_INVALID"
        ) from error


def _place_in_schema(error: Exception) -> str:
    steps = error.instance_path if isinstance(error, jsonschema_rs.ValidationError) else []
    return f" at {'/'.join(['#', *map(str, steps)])}" if steps else ""


def _unreadable(document: Any) -> Iterator[Problem]:
    """Every text, names included, with a character that cannot be stored; without recursion, documents may be deep."""
    left: list[tuple[str, object]] = [("", document)]
    while left:
        place, value = left.pop()
        if isinstance(value, str) and (found := UNSTORABLE.search(value)):
            character = f"U+{ord(found[0]):04X}"
            yield Problem(
                place=place or WHOLE, reason=f"contains the character {character} at position {found.start()}"
            )
        elif isinstance(value, dict):
            left += [(_joined(place, UNSTORABLE.sub("?", name)), member) for name, member in value.items()]
            left += [(place, name) for name in value]
        elif isinstance(value, list):
            left += [(_joined(place, index), member) for index, member in enumerate(value)]


def _problem(error: jsonschema_rs.ValidationError, schema: Mapping[str, Any]) -> Problem:
    place = ""
    for step in error.instance_path:
        place = _joined(place, step)
    facts = error.kind.as_dict()
    if error.kind.name == "required":
        return Problem(place=_joined(place, facts["property"]), reason="is missing")
    return Problem(place=place or WHOLE, reason=_reason(error, facts, _description(error, schema)))


def _reason(error: jsonschema_rs.ValidationError, facts: Mapping[str, Any], description: str) -> str:
    match error.kind.name:
        case "type":
            return f"expected {' or '.join(facts['types'])}, got {_type_of(error.instance)}"
        case "enum":
            return "expected one of " + ", ".join(json.dumps(option) for option in facts["options"])
        case "const":
            return f"expected {json.dumps(facts['expected_value'])}"
        case "uniqueItems":
            return "has an item twice"
        case limited if limited in LIMITS:
            return LIMITS[limited].format(facts["limit"])
        case "format":
            return f"is not of the format {facts['format']}"
        case "additionalProperties":
            return "has members it should not have: " + ", ".join(facts["unexpected"])
    return f"expected {description}" if description else f"breaks the rule {error.kind.name!r}"


def _description(error: jsonschema_rs.ValidationError, schema: Mapping[str, Any]) -> str:
    """What the schema's author says about the value; a pattern alone helps nobody."""
    part: Any = schema
    try:
        for step in error.schema_path[:-1]:
            part = part[step]
        return str(part.get("description", ""))
    except (AttributeError, LookupError, TypeError):
        return ""  # below an `$id` paths count from there


def _type_of(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _joined(place: str, step: str | int) -> str:
    if isinstance(step, int):
        return f"{place}[{step}]"
    return f"{place}.{step}" if place else step
