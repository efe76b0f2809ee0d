"""Finds the JSON document in what a model said, where there is no doubt which it is.

Models that are asked for JSON alone put it into a Markdown fence all the same, or say a sentence before it. What is
read is, in this order: the whole text, the one fenced block that is JSON, the one object (or array) that stands in
prose. Two different documents, or one that breaks off, are a flaw: guessing which was meant would be worse than asking
again. Names that are there twice, numbers that are none (NaN, infinity), and what no variable can carry are flaws too.

`tasks.ai.structured` and `tasks.ai.tool_arguments` are the callers. No word of the answer is repeated in a flaw, names
apart.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from procos.domain.variables import CODEC_MARKER, DEEPEST, LONGEST_STRING
from tasks.ai.model_text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_ANSWER = 1_000_000
"""Characters of an answer that is looked through."""
MOST_TRIES = 50
"""Places in prose where a document may begin; each costs a look at what follows."""
EITHER = "{["
FENCE = re.compile(r"\s*```([\w+-]*)\s*")
TOO_DEEP = "is nested deeper than {} levels"
TOO_LONG_NUMBER = "holds a number that is too long"
THOUGHTS = ("<think>", "</think>")
"""What some local models put around the drafts that come before their answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A JSON value."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Why there is none, as what follows on "the answer"."""

    reason: str


class _UnfitError(ValueError):
    """JSON by its grammar, and still refused."""


def document_in(text: str, *, opening: str = EITHER) -> Document | Flaw:
    """Return the document a text holds; in prose, one that begins with a character of `opening`."""
    if len(text) > LARGEST_ANSWER:
        return Flaw(reason=f"is longer than {LARGEST_ANSWER} characters")
    text = _without_thoughts(text)
    if not text:
        return Flaw(reason="is empty")
    whole = parsed(text)
    if isinstance(whole, Document):
        return whole
    fenced = [document for document in map(parsed, _fenced(text)) if isinstance(document, Document)]
    found = fenced or _in_prose(text, opening)
    if isinstance(found, Flaw):
        return found
    if not found:
        return whole
    if any(document != found[0] for document in found):
        return Flaw(reason="holds more than one JSON document")
    return found[0]


def parsed(text: str, *, deepest: int = DEEPEST) -> Document | Flaw:
    """Read a text that is a JSON document and nothing else, of at most `deepest` levels."""
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return _flaw(error)
    return _bounded(value, deepest)


def is_deeper(value: Any, levels: int = DEEPEST) -> bool:
    """Return whether a value has more levels of lists and objects; without recursion."""
    level = [value]
    for _ in range(levels + 1):
        inner = [each for each in level if isinstance(each, list | dict)]
        if not inner:
            return False
        level = [member for each in inner for member in (each.values() if isinstance(each, dict) else each)]
    return True


def _without_thoughts(text: str) -> str:
    text = text.strip().removeprefix("\ufeff")
    begin, end = THOUGHTS
    if text.startswith(begin) and end in text:
        text = text.partition(end)[2]
    return text.strip()


def _fenced(text: str) -> Iterator[str]:
    """Return what stands in Markdown fences; a line with a language can only open one."""
    inside: list[str] | None = None
    for line in text.split("\n"):
        fence = FENCE.fullmatch(line)
        if fence and inside is None:
            inside = []
        elif fence and inside is not None and not fence[1]:
            yield "\n".join(inside)
            inside = None
        elif inside is not None:
            inside.append(line)


def _in_prose(text: str, opening: str) -> list[Document] | Flaw:
    """Return the documents that stand between other words, or the flaw of the first that breaks off."""
    found: list[Document] = []
    begins = re.compile(f"[{re.escape(opening)}]")
    at = 0
    for _ in range(MOST_TRIES):
        begin = begins.search(text, at)
        if begin is None:
            return found
        try:
            value, at = DECODER.raw_decode(text, begin.start())
        except json.JSONDecodeError as error:
            if text[begin.end() : error.pos].strip():
                return _flaw(error)  # its members would pass for documents of their own
            at = begin.end()
        except (ValueError, RecursionError) as error:
            return _flaw(error)
        else:
            document = _bounded(value)
            if isinstance(document, Flaw):
                return document
            found.append(document)
    return Flaw(reason="holds too many brackets to say where a JSON document begins")


def _bounded(value: Any, deepest: int = DEEPEST) -> Document | Flaw:
    """Refuse what is deeper than a variable may be."""
    return Flaw(reason=TOO_DEEP.format(deepest)) if is_deeper(value, deepest) else Document(value=value)


def _flaw(error: Exception) -> Flaw:
    match error:
        case json.JSONDecodeError():
            return Flaw(reason=f"is not JSON at line {error.lineno}, column {error.colno} ({error.msg})")
        case _UnfitError():
            return Flaw(reason=str(error))
        case RecursionError():
            return Flaw(reason=TOO_DEEP.format(DEEPEST))
    return Flaw(reason=TOO_LONG_NUMBER)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _UnfitError(f"has the member {excerpt(name, length=50)!r} twice in one object")
        members[name] = value
    if members.keys() == CODEC_MARKER:
        raise _UnfitError("holds an object of the keys __type__ and __value__ alone")
    return members


def _whole(text: str) -> int:
    if len(text.removeprefix("-")) >= LONGEST_STRING:
        raise _UnfitError(TOO_LONG_NUMBER)
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _UnfitError("holds a number that is too large")
    return number


def _no_number(_: str) -> NoReturn:
    raise _UnfitError("holds NaN or an infinity, which are not JSON")


DECODER = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_whole,
    parse_float=_number,
    parse_constant=_no_number,
    strict=False,  # models write line breaks into texts as they are
)
