"""Checks a document against a JSON Schema (2020-12 where it does not say), and says what is wrong in words.

The words name the place and the rule, never the value: values are the process's own and stay out of errors and logs.
Schemas refer to nothing outside themselves, formats count, and patterns run in time linear in the text. What may take
long is checked beside the worker, within `LIMIT`; so neither a schema nor a document can make a worker call elsewhere
or hang. `tasks.generic.input_validation` checks variables with it, `tasks.ai.structured` the answers of models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procos.domain.errors import PermanentError, TransientError
from tasks.generic import schema_check as check
from tasks.generic.json_values import WHOLE, joined, looked_through, place_of, pointer_of, steps_of
from tasks.side_processes import NoPlaceError, SideProcesses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.generic.json_values import Flaw, Look

MOST_PROBLEMS = 50
LONGEST_MESSAGE = 666
"""What the engine keeps of an error's message."""
LONGEST_REASON = 300
LARGEST_SCHEMA = 262_144
"""Characters of a schema as JSON."""
LIMIT = timedelta(seconds=5)
"""How long a check beside the worker may take."""
SIMPLE_SCHEMA, SIMPLE_DOCUMENT, SIMPLE_PATTERNS = 2000, 2000, 20
"""Values of a schema and a document, and patterns, that are looked at in the worker itself, in milliseconds."""
SIMPLE_TEXT = 65_536
"""Characters of all texts and names of such a document."""
MOST_LOOKS, CHARACTERS_PER_LOOK = 10_000, 64
"""Values of a schema times those of a document, long texts counting for several: each pair of a rule and a value may be
a problem with a copy of the value in it, and all are made before the first is named. Beyond that it is done beside.
"""
COSTLY = {"$dynamicRef", "$recursiveRef", "$ref", "unevaluatedItems", "unevaluatedProperties"}
"""Rules that can look at one value any number of times."""
PATTERNS = {"pattern", "patternProperties"}
UNKNOWN = "is not valid; its problems are too many, or the schema is too intricate, to name them"
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
    path: str = ""
    """The place as a JSON Pointer (RFC 6901)."""
    keyword: str = ""
    """The rule of the schema; empty where nothing of the kind may be in any document."""
    schema_path: str = ""
    """Where the rule stands in the schema, as a JSON Pointer."""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def check_length(schema: str) -> None:
    """Refuse the text of a schema that is too long.

    Raises:
        PermanentError: it is.
    """
    if len(schema) > LARGEST_SCHEMA:
        raise _wrong(f": it has {len(schema)} characters, at most {LARGEST_SCHEMA} are read")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that is wrong itself, before anything is done that it is for.

    Raises:
        PermanentError: it is no JSON Schema, or refers to another document; says where.
        TransientError: it was not read in time.
    """
    text = _written(schema)
    if _simple_values(text):
        _compiled(text)
    else:
        _asked({"schema": text})


def problems(schema: Mapping[str, Any], document: Any) -> list[Problem]:
    """Return what is wrong with a JSON value, at most `MOST_PROBLEMS` things; nothing where it is valid.

    Raises:
        PermanentError: the schema is wrong itself, or refers to another document.
        TransientError: it was not decided in time.
    """
    text, look = _written(schema), looked_through(document)
    values = _simple_values(text)
    if look.flaws:
        check_schema(schema)
        return [_flaw(flaw) for flaw in look.flaws[:MOST_PROBLEMS]]
    if not (values and _is_small(look)):
        return _found_beside(text, schema, document)
    if _compiled(text).is_valid(document):
        return []
    if values * (look.values + look.characters // CHARACTERS_PER_LOOK) > MOST_LOOKS:
        return _found_beside(text, schema, document)
    return [_problem(finding, schema) for finding in check.findings(text, document, MOST_PROBLEMS)]


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


def _written(schema: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(schema, sort_keys=True, allow_nan=False)
    except (RecursionError, TypeError, ValueError):
        raise _wrong(": it is no JSON, or is nested too deeply") from None
    check_length(text)
    return text


def _wrong(reason: str) -> PermanentError:
    return PermanentError(f"the JSON Schema of this step is wrong{reason}", code="SCHEMA_INVALID")


@lru_cache(maxsize=check.KEPT)
def _simple_values(text: str) -> int:
    """Return how many values a simple schema has, which looks at nothing more often than that; else 0."""
    values = patterns = 0
    left = [json.loads(text)]
    while left:
        value = left.pop()
        values += 1
        if isinstance(value, dict):
            if COSTLY & value.keys():
                return 0
            patterns += len(PATTERNS & value.keys()) and len(value.get("patternProperties", [0]) or [0])
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return values if values <= SIMPLE_SCHEMA and patterns <= SIMPLE_PATTERNS else 0


def _is_small(look: Look) -> bool:
    return look.values <= SIMPLE_DOCUMENT and look.characters <= SIMPLE_TEXT


def _compiled(text: str) -> Any:
    try:
        return check.validator(text)
    except check.WrongSchemaError as error:
        raise _wrong(str(error)) from error


_BESIDE = SideProcesses(Path(check.__file__), within=LIMIT)
_BESIDE.share()


def _found_beside(text: str, schema: Mapping[str, Any], document: Any) -> list[Problem]:
    try:
        asked = {"schema": text, "document": document, "most": MOST_PROBLEMS}
        found = _asked(asked)["findings"]
    except TimeoutError:
        if _asked({"schema": text, "document": document, "most": 0})["valid"]:
            return []
        return [Problem(place=WHOLE, reason=UNKNOWN)]
    return [_problem(finding, schema) for finding in found]


def _asked(question: Mapping[str, Any]) -> dict[str, Any]:
    """Ask beside the worker.

    Raises:
        PermanentError: the schema is wrong.
        TransientError: there was no answer, or none in time.
    """
    try:
        answer: dict[str, Any] = json.loads(_BESIDE.ask(json.dumps(question).encode()))
    except TimeoutError:
        raise _NotInTimeError from None
    except NoPlaceError as error:
        raise _undecided(str(error)) from error
    except (OSError, EOFError) as error:
        raise _undecided("the process for it has ended, for want of memory perhaps") from error
    if "wrong" in answer:
        raise _wrong(answer["wrong"])
    if "fault" in answer:
        raise _undecided(answer["fault"])
    return answer


class _NotInTimeError(TransientError, TimeoutError):
    """Raised when a schema is too costly for what it is about."""

    def __init__(self) -> None:
        within = f"the check against the JSON Schema did not end within {LIMIT.total_seconds():g} s"
        super().__init__(f"{within}: make the schema simpler, or the document smaller", code="VALIDATION_NOT_ENDED")


def _undecided(reason: str) -> TransientError:
    return TransientError(f"nothing was checked against the JSON Schema: {reason}", code="VALIDATION_NOT_ENDED")


def _flaw(flaw: Flaw) -> Problem:
    steps = steps_of(flaw.way)
    return Problem(place=place_of(steps) or WHOLE, reason=flaw.reason, path=pointer_of(steps))


def _problem(finding: check.Finding, schema: Mapping[str, Any]) -> Problem:
    steps, keyword, facts = finding["path"], finding["keyword"], finding["facts"]
    place = place_of(steps)
    reason = _reason(finding, _description(finding, schema))
    if keyword == "required":
        steps, place, reason = [*steps, facts["property"]], joined(place, facts["property"]), "is missing"
    return Problem(
        place=place or WHOLE,
        reason=reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}…",
        path=pointer_of(steps),
        keyword=keyword,
        schema_path=pointer_of(finding["schema_path"]),
    )


def _reason(finding: check.Finding, description: str) -> str:
    facts, more = finding["facts"], f" and {finding['more']} more" if finding["more"] > 0 else ""
    match finding["keyword"]:
        case "type":
            return f"expected {' or '.join(facts['types'])}, got {finding['type']}"
        case "enum":
            return "expected one of " + ", ".join(json.dumps(option) for option in facts["options"]) + more
        case "const":
            return f"expected {json.dumps(facts['expected_value'])}"
        case "uniqueItems":
            return "has an item twice"
        case limited if limited in LIMITS:
            return LIMITS[limited].format(facts["limit"])
        case "format":
            return f"is not of the format {facts['format']}"
        case "additionalProperties":
            return "has members it should not have: " + ", ".join(facts["unexpected"]) + more
    return f"expected {description}" if description else f"breaks the rule {finding['keyword']!r}"


def _description(finding: check.Finding, schema: Mapping[str, Any]) -> str:
    """What the schema's author says about the value; a pattern alone helps nobody."""
    part: Any = schema
    try:
        for step in finding["schema_path"][:-1]:
            part = part[step]
        return str(part.get("description", ""))
    except (AttributeError, LookupError, TypeError):
        return ""  # below an `$id` paths count from there
