"""JSON as strangers send it: read strictly, and looked through before anything else is done with it.

Texts of JSON have no member twice, no NaN, no number that no computer reads alike. Values are not nested too deeply,
and hold no text that databases and providers refuse. What is said of them names the place, never the value.
`tasks.generic.json_schema` and the topics that take any JSON are the callers.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from procos.domain.errors import BusinessError
from procos.domain.variables import DEEPEST
from tasks.blobs import INVALID_INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator

WHOLE = "(all)"
UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
"""What no database or provider takes as text."""
LONGEST_NAME = 1000
"""Characters of a member's name."""
LONGEST_NUMBER = 308
"""Digits of a whole number: more are no number to JSONata, to JavaScript, nor to the rules of a schema."""
LARGEST_NUMBER = 10**LONGEST_NUMBER
MOST_VALUES = 1_000_000
MOST_FLAWS = 50
LONGEST_PLACE = 300
SHOWN = 100
"""Characters of a name in a place."""

Way = tuple[Any, str | int] | None
"""How to come to a value: the way to what holds it, and the step from there; None for the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Something that keeps a value from being used at all, and where it is."""

    way: Way
    reason: str

    def __str__(self) -> str:
        return f"{place_of(steps_of(self.way)) or WHOLE}: {self.reason}"


@dataclass(slots=True, kw_only=True)
class Look:
    """What was seen of a value."""

    values: int = 0
    characters: int = 0
    """Of texts and names."""
    flaws: list[Flaw] = field(default_factory=list)


def parsed(text: str) -> Any:
    """Read a text of JSON (RFC 8259); a byte order mark before it is passed over, as section 8.1 allows.

    Raises:
        ValueError: it is none, has a member twice, or a number that is too large; says where, if it can.
    """
    try:
        return json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None


def text_of_json(name: str, text: object) -> Any:
    """Read a variable that holds a text of JSON.

    Raises:
        BusinessError: INVALID_INPUT, it holds none.
    """
    if not isinstance(text, str):
        raise BusinessError(INVALID_INPUT, f"{name}: data_format is json, which expects a text")
    try:
        return parsed(text)
    except ValueError as error:
        raise BusinessError(INVALID_INPUT, f"{name}: {error}") from None


def plain(name: str, value: object) -> Any:
    """Return a value as JSON has it, dates as their ISO text.

    Raises:
        BusinessError: INVALID_INPUT, it cannot be written as JSON, or has a flaw; names the place.
    """
    written = jsonable(name, value)
    if flaws := looked_through(written).flaws:
        raise BusinessError(INVALID_INPUT, f"{name}: {flaws[0]}")
    return written


def jsonable(name: str, value: object) -> Any:
    """Return a value as JSON has it, whatever flaws it has.

    Raises:
        BusinessError: INVALID_INPUT, it cannot be written as JSON.
    """
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, RecursionError, ValueError):  # their words may quote values
        text = f"{name}: cannot be written as JSON, or is nested too deeply: more than {DEEPEST} levels"
        raise BusinessError(INVALID_INPUT, text) from None


def looked_through(value: Any) -> Look:
    """Look at every value and name in a JSON value, without recursion; stop at too many of them, or of flaws."""
    look = Look(values=1)
    layers: list[Iterator[tuple[Any, Way]]] = [iter([(value, None)])]
    while layers and len(look.flaws) < MOST_FLAWS:
        found = next(layers[-1], None)
        if found is None:
            layers.pop()
            continue
        one, way = found
        if reason := _flaw(one, look, len(layers) - 1):
            look.flaws.append(Flaw(way=way, reason=reason))
        elif isinstance(one, dict | list):
            look.values += len(one)
            if look.values > MOST_VALUES:  # counted before they are looked at, which would take a while
                look.flaws = [Flaw(way=None, reason=f"has more than {MOST_VALUES} values")]
                break
            if isinstance(one, dict):
                look.characters += sum(map(len, one))
                look.flaws += islice(_flaws_of_names(one, way), MOST_FLAWS - len(look.flaws))
            layers.append(_members(one, way))
    return look


def _members(one: dict[str, Any] | list[Any], way: Way) -> Iterator[tuple[Any, Way]]:
    steps = one.items() if isinstance(one, dict) else enumerate(one)
    return ((member, (way, step)) for step, member in steps)


def _flaws_of_names(one: dict[str, Any], way: Way) -> Iterator[Flaw]:
    for name in one:
        if reason := _flaw_of_name(name):
            yield Flaw(way=way, reason=reason)


def _flaw(one: Any, look: Look, depth: int) -> str:
    kind = type(one)
    if kind is str:
        look.characters += len(one)
        return _flaw_of_text(one)
    if kind is float:
        return "" if math.isfinite(one) else "is no finite number"
    if kind is int:
        return f"is a number of more than {LONGEST_NUMBER} digits" if abs(one) >= LARGEST_NUMBER else ""
    if depth >= DEEPEST and isinstance(one, dict | list):
        return f"is nested too deeply: more than {DEEPEST} levels"
    return ""


def _flaw_of_text(text: str) -> str:
    if text.isascii() and "\0" not in text:
        return ""
    found = UNSTORABLE.search(text)
    return f"contains the character U+{ord(found[0]):04X} at position {found.start()}" if found else ""


def _flaw_of_name(name: str) -> str:
    return f"has a name of more than {LONGEST_NAME} characters" if len(name) > LONGEST_NAME else _flaw_of_text(name)


def steps_of(way: Way) -> list[str | int]:
    """Return the steps of a way, the first one first."""
    steps: list[str | int] = []
    while way is not None:
        way, step = way
        steps.append(step)
    return steps[::-1]


def place_of(steps: list[str | int]) -> str:
    """Write steps as people do: `items[0].name`."""
    place = ""
    for step in steps:
        place = joined(place, step)
    return place if len(place) <= LONGEST_PLACE else f"{place[:LONGEST_PLACE]}…"


def joined(place: str, step: str | int) -> str:
    """Write a place one step further."""
    if isinstance(step, int):
        return f"{place}[{step}]"
    name = UNSTORABLE.sub("?", step if len(step) <= SHOWN else f"{step[:SHOWN]}…")
    return f"{place}.{name}" if place else name


def pointer_of(steps: list[str | int]) -> str:
    """Write steps as a JSON Pointer (RFC 6901): `/items/0/name`, and nothing for the whole."""
    return "".join("/" + UNSTORABLE.sub("?", str(step)).replace("~", "~0").replace("/", "~1") for step in steps)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("has a member twice, of which readers take the one or the other")
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"has {name}, which is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("has a number that is too large")
    return number


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError("has a number that is too large")
    return int(digits)
