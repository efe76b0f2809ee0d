"""What parameters of operations are made of: texts a service can store, and JSON of bounded size and depth.

A field is filled from a process variable, or from a text of the model, so JSON may come as a value or as JSON text.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

MOST_VALUES, DEEPEST, MOST_CHARACTERS = 10_000, 20, 100_000
"""Of JSON in one parameter: far more than a message or a form needs, and nothing that keeps anybody busy."""


class Parameters(BaseModel):
    """What an operation takes; the text under a field is its description, in schemas and element templates."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)


class Result(BaseModel):
    """What an operation gives."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)


def _storable(text: str) -> str:
    """Refuse what services and databases cannot store; control characters have no place in a text for people."""
    for place, character in enumerate(text):
        if (character < " " and character not in "\t\n\r") or character == "\x7f" or "\ud800" <= character <= "\udfff":
            raise ValueError(f"contains the character U+{ord(character):04X} at position {place}")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ValueError("contains a line break")
    return text


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    if len(value) > MOST_CHARACTERS * 2:
        raise ValueError(f"is longer than {MOST_CHARACTERS * 2} characters of JSON")
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None


def bounded(value: Any) -> Any:
    """Return JSON as it is, if it is JSON, and neither too large nor too deep.

    Raises:
        ValueError: it is not.
    """
    values = characters = 0
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        values += 1
        match each:
            case str():
                characters += len(_storable(each))
            case dict():
                if not all(isinstance(key, str) for key in each):
                    raise ValueError("has a name that is no text")
                waiting += [(inner, depth + 1) for pair in each.items() for inner in pair]
            case list():
                waiting += [(inner, depth + 1) for inner in each]
            case float() if not math.isfinite(each):
                raise ValueError("has a number that is none in JSON")
            case None | bool() | int() | float():
                pass
            case _:
                raise ValueError("is no JSON")
        if values + len(waiting) > MOST_VALUES or characters > MOST_CHARACTERS or depth > DEEPEST:
            raise ValueError(f"is more than {MOST_VALUES} values, {MOST_CHARACTERS} characters or {DEEPEST} levels")
    return value


STORABLE, ONE_LINE = AfterValidator(_storable), AfterValidator(_one_line)
"""For texts; they stand behind the bounds, which are cheaper to look at."""
PARSED, BOUNDED = BeforeValidator(_parsed), AfterValidator(bounded)
"""For JSON."""
JsonObject = Annotated[dict[str, Any], PARSED, BOUNDED]
Name = Annotated[str, Field(min_length=1, max_length=256), STORABLE, ONE_LINE]
"""Of what a service has: a label, a file."""
