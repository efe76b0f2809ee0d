"""Python values to typed engine variables, and back.

The engine stores a String in a column of 4,000 characters, knows 32-bit Integers and 64-bit Longs, and takes dates in
one format only; untyped objects would be stored Java-serialised. So every value is sent with an explicit type, and what
no type can carry is refused with the variable's name. Sources: Camunda 7.24 manual, "Process Variables" and the REST
API's "Variable Types"; the limits were confirmed on a running engine.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from procos.domain.errors import VariableError
from procos.domain.message_size import LARGEST_MESSAGE, may_be_too_large, too_large, travelling_size

if TYPE_CHECKING:
    from collections.abc import Mapping

INT32 = 2**31
INT64 = 2**63
LONGEST_STRING = 4000
"""Characters (UTF-16 units, as Java counts) that fit the engine's text column."""
LONGEST_NAME = 255
DEEPEST = 100
"""Levels of lists and objects inside each other; Python's pickle, between a worker and its processes, ends near 300."""
LARGEST_TOGETHER = 8 * 1024 * 1024
"""Bytes of variables in one message, unless a setting says otherwise."""
LARGEST_NUMBER = 10 ** (LONGEST_STRING - 1)
CODEC_MARKER = {"__type__", "__value__"}
"""An object of these keys alone is a marker of the task queue's codec: it would not arrive as what it is."""
FILE, BYTES = "File", "Bytes"
"""The engine's types for content; a fetch brings what a File is called, never what is in it."""
DATE_ENDS = 10
"""Characters of a date before the time begins."""
JSON_OBJECT = {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedValue:
    """A variable as the engine's REST API writes it: type name, JSON value, further facts about the value."""

    type: str
    value: object
    value_info: Mapping[str, object] = field(default_factory=dict)


def to_engine(name: str, value: object, *, json_type: bool = True) -> TypedValue:
    """Give a Python value its engine type; `json_type` says whether the engine knows `Json` (has Spin).

    Raises:
        VariableError: no engine type can carry the value.
    """
    _check_name(name)
    match value:
        case None:
            return TypedValue(type="Null", value=None)
        case bool():
            return TypedValue(type="Boolean", value=value)
        case int():
            return _integer(name, value)
        case float():
            return TypedValue(type="Double", value=_finite(name, value))
        case str():
            return _text(name, value, json_type=json_type)
        case datetime():
            return TypedValue(type="Date", value=format_date(name, value))
        case date():
            return TypedValue(type="String", value=value.isoformat())
        case Decimal() | UUID():
            return TypedValue(type="String", value=_written(name, value))
        case dict() | list() | tuple():
            return _structure(name, value, json_type=json_type)
    raise VariableError(name, f"a value of type {type(value).__name__} cannot become an engine variable")


def as_typed(name: str, value: object, *, json_type: bool = True) -> TypedValue:
    """Give a value its engine type, unless it has one already: content of a file, which no Python value stands for.

    Raises:
        VariableError: no engine type can carry the value.
    """
    return value if isinstance(value, TypedValue) else to_engine(name, value, json_type=json_type)


def from_engine(name: str, typed: TypedValue) -> object:
    """Read a typed engine variable as a Python value.

    Raises:
        VariableError: the type is not carried (File, Bytes, Java-serialised objects), or the value is not of its type.
    """
    match typed.type:
        case "Null" | "Boolean" | "Short" | "Integer" | "Long" | "Double" | "String" | "Xml":
            return typed.value
        case _ if typed.value is None and typed.type != FILE:
            return None
        case "Json":
            return _parsed(name, typed.value)
        case "Object" if typed.value_info.get("serializationDataFormat") == "application/json":
            return _parsed(name, typed.value)
        case "Date":
            return parse_date(name, typed.value)
    cure = "; PROCOS_BLOBS_URL names a store that carries them" if typed.type in {FILE, BYTES} else ""
    raise VariableError(name, f"variables of type {typed.type} are not carried to tasks{cure}")


def is_carried(typed: TypedValue) -> bool:
    """Whether `from_engine` knows the type at all."""
    if typed.type == "Object":
        return typed.value is None or typed.value_info.get("serializationDataFormat") == "application/json"
    return typed.type not in {FILE, BYTES}


def check(
    variables: Mapping[str, object], *, largest: int = LARGEST_TOGETHER, cure: str = "", travels: bool = True
) -> None:
    """Make sure that every value can become an engine variable, and that together they are not too large.

    Raises:
        VariableError: for the first that cannot, or the largest of too many bytes, with the cure where there is one.
    """
    typed = {name: to_engine(name, value) for name, value in variables.items()}
    check_size(typed, largest=largest, cure=cure, travels=travels)


def check_size(
    variables: Mapping[str, TypedValue], *, largest: int = LARGEST_TOGETHER, cure: str = "", travels: bool = True
) -> None:
    """Make sure that the variables have at most `largest` bytes and, where they travel, that they fit a message.

    Raises:
        VariableError: they have more together; names the largest, and the cure where there is one.
    """
    texts = {name: typed.value for name, typed in variables.items() if isinstance(typed.value, str)}
    sizes = {name: len(text.encode(errors="surrogatepass")) for name, text in texts.items()}
    if sum(sizes.values()) > largest:
        raise too_large(sizes, "bytes", f"at most {largest} are carried", cure)
    if travels and may_be_too_large(sum(sizes.values())):
        sizes = {name: travelling_size(from_engine(name, variables[name])) for name in texts}
        if sum(sizes.values()) > LARGEST_MESSAGE:
            raise too_large(sizes, "bytes as it travels", f"a message carries at most {LARGEST_MESSAGE}", cure)


def plain(name: str, value: object) -> object:
    """Reduce a value to what JSON knows, as it is stored inside a list or dict.

    Raises:
        VariableError: it is, or holds, what JSON does not know.
    """
    match value:
        case None | bool():
            return value
        case int():
            return _writable(name, value)
        case float():
            return _finite(name, value)
        case str():
            _check_text(name, value)
            return value
        case datetime():
            return format_date(name, value)
        case date():
            return value.isoformat()
        case Decimal() | UUID():
            return _written(name, value)
        case list() | tuple():
            return [plain(name, item) for item in value]
        case dict():
            return _unmarked({_key(name, key): plain(name, item) for key, item in value.items()}, name)
    raise VariableError(name, f"holds a {type(value).__name__}, which JSON does not know")


def format_date(name: str, value: datetime) -> str:
    """Write a moment in the one format the engine takes: milliseconds, and an offset without colon."""
    if value.tzinfo is None:
        raise VariableError(name, "a date without time zone is ambiguous; use an aware datetime")
    try:
        moment = value.astimezone(UTC)
    except OverflowError as error:
        raise VariableError(name, f"{value} lies outside the years 1 to 9999 of UTC") from error
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def parse_date(name: str, value: object) -> datetime:
    """Read the engine's date format as an aware datetime."""
    text, moment = str(value), None
    with suppress(ValueError):  # ten times as quick as strptime, and there is one in every fetched task
        moment = datetime.fromisoformat(text)
    if moment is None or moment.tzinfo is None or text[DATE_ENDS : DATE_ENDS + 1] != "T":
        raise VariableError(name, f"{value!r} is not a date of the form 2026-11-23T04:00:00.000+0000")
    return moment


def _check_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME:
        raise VariableError(name[:40], f"a variable's name has 1 to {LONGEST_NAME} characters")
    _check_text(name, name)


def _integer(name: str, value: int) -> TypedValue:
    if -INT32 <= value < INT32:
        return TypedValue(type="Integer", value=value)
    if -INT64 <= value < INT64:
        return TypedValue(type="Long", value=value)
    return TypedValue(type="String", value=str(_writable(name, value)))


def _writable(name: str, value: int) -> int:
    if abs(value) >= LARGEST_NUMBER:
        raise VariableError(name, f"a number of {LONGEST_STRING} digits or more")
    return value


def _written(name: str, value: Decimal | UUID) -> str:
    if isinstance(value, Decimal) and not value.is_finite():
        raise VariableError(name, f"{value} is not a number JSON knows")
    text = str(value)
    if len(text) > LONGEST_STRING:
        raise VariableError(name, f"a number of {len(text)} characters; at most {LONGEST_STRING} are stored")
    return text


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise VariableError(name, f"{value} is not a number JSON knows")
    return value


def _text(name: str, value: str, *, json_type: bool) -> TypedValue:
    _check_text(name, value)
    length = len(value.encode("utf-16-le")) // 2
    if length <= LONGEST_STRING:
        return TypedValue(type="String", value=value)
    if not json_type:
        raise VariableError(name, f"{length} characters; this engine stores at most {LONGEST_STRING}")
    return TypedValue(type="Object", value=json.dumps(value, ensure_ascii=False), value_info=JSON_OBJECT)


def _structure(name: str, value: object, *, json_type: bool) -> TypedValue:
    _check_depth(name, value)
    text = json.dumps(plain(name, value), ensure_ascii=False, allow_nan=False)
    if json_type:
        return TypedValue(type="Json", value=text)
    return _text(name, text, json_type=False)


def _key(name: str, key: object) -> str:
    if not isinstance(key, str):
        raise VariableError(name, f"holds the key {key!r}; JSON keys are texts")
    _check_text(name, key)
    return key


def _check_text(name: str, text: str) -> None:
    if "\x00" in text:
        raise VariableError(name, "holds a NUL character (U+0000), which PostgreSQL does not store")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise VariableError(name, "holds half of a surrogate pair, which is not valid Unicode") from error


def _parsed(name: str, value: object) -> object:
    try:
        parsed = json.loads(str(value), object_hook=lambda found: _unmarked(found, name))
    except ValueError as error:
        raise VariableError(name, f"is not valid JSON: {error}") from error
    except RecursionError as error:
        raise VariableError(name, "is nested too deeply") from error
    _check_depth(name, parsed)
    return parsed


def _check_depth(name: str, value: object, left: int = DEEPEST) -> None:
    if isinstance(value, dict | list | tuple):
        if left == 0:
            raise VariableError(name, f"is nested too deeply, or holds itself: more than {DEEPEST} levels")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(name, inner, left - 1)


def _unmarked(found: dict[str, object], name: str) -> dict[str, object]:
    if found.keys() == CODEC_MARKER:
        raise VariableError(name, "holds an object of the keys __type__ and __value__ alone, which cannot be carried")
    return found
