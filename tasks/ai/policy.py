"""A policy table: which providers shall answer which questions, as the file of PROCOS_AI_POLICY says.

    {"classes": {
        "small":  {"up_to": {"tokens": 500, "complexity": 0.3}, "providers": ["ollama", "openai"]},
        "medium": {"up_to": {"tokens": 4000, "complexity": 0.8}, "providers": [["openai", "mistral"], "ollama"]},
        "large":  {"providers": ["openai"]}}}

A question belongs to the first class none of whose limits it is above. Providers are named in order of preference;
those in brackets are equals, of which the cheapest is taken. `tasks.ai.providers` reads the file for each choice, so
that a changed one counts at once.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procos.domain.errors import PermanentError
from tasks.ai.json_answer import Flaw, parsed
from tasks.ai.preference import Preference
from tasks.generic.json_schema import message_of, problems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from tasks.ai.question_features import Features

LARGEST_POLICY = 65_536
"""Bytes of a file."""
SMALL, MEDIUM, LARGE = "small", "medium", "large"
CLASSES = (SMALL, MEDIUM, LARGE)
MEASURES = {"characters": "characters", "tokens": "tokens", "complexity": "of complexity", "code_share": "of code"}

_PROVIDER = {"type": "string", "minLength": 1}
_PROVIDERS = {
    "type": "array",
    "minItems": 1,
    "items": {
        "anyOf": [_PROVIDER, {"type": "array", "minItems": 1, "items": _PROVIDER}],
        "description": "a provider, or a list of equals",
    },
}
_UP_TO = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "description": f"one or more of {', '.join(MEASURES)}",
    "properties": {
        "characters": {"type": "integer", "minimum": 1},
        "tokens": {"type": "integer", "minimum": 1},
        "complexity": {"type": "number", "minimum": 0, "maximum": 1},
        "code_share": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
_LIMITED = {
    "type": "object",
    "required": ["up_to", "providers"],
    "additionalProperties": False,
    "properties": {"up_to": _UP_TO, "providers": _PROVIDERS},
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["classes"],
    "additionalProperties": False,
    "properties": {
        "classes": {
            "type": "object",
            "required": list(CLASSES),
            "additionalProperties": False,
            "properties": {
                SMALL: _LIMITED,
                MEDIUM: _LIMITED,
                LARGE: {
                    "type": "object",
                    "required": ["providers"],
                    "additionalProperties": False,
                    "properties": {"providers": _PROVIDERS},
                },
            },
        }
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionClass:
    """One row of the table; what is above one of its limits belongs to a later row."""

    name: str
    up_to: Mapping[str, float]
    groups: tuple[tuple[str, ...], ...]

    def excess(self, features: Features) -> str:
        """Say in what a question is above the limits, or nothing."""
        for measure, limit in self.up_to.items():
            if getattr(features, measure) > limit:
                return f"{getattr(features, measure)} {MEASURES[measure]}, above {limit}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The whole table, from the smallest questions to the largest; the last class has no limits."""

    classes: tuple[QuestionClass, ...]

    def preference(self, features: Features) -> Preference:
        """Return the order of providers for a question, and why it is that."""
        why = ""
        for row in self.classes:
            excess = row.excess(features)
            if not excess:
                return Preference(groups=row.groups, why=f"the question is {row.name}" + (f" ({why})" if why else ""))
            why = f"{excess} of {row.name}"
        raise AssertionError("the last class takes every question")


def policy_from(path: Path, *, known: Collection[str]) -> Policy:
    """Read a policy table; `known` are the names of all providers, configured or not.

    Raises:
        PermanentError: the file cannot be read, or the table is wrong; names every place.
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(LARGEST_POLICY + 1)
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_POLICY:
        raise _wrong(path, f"is larger than {LARGEST_POLICY} bytes")
    document = parsed(content.decode(errors="replace"))
    if isinstance(document, Flaw):
        raise _wrong(path, document.reason)
    found = [str(problem) for problem in problems(SCHEMA, document.value)]
    if found := found or list(_contradictions(document.value["classes"], known)):
        raise _wrong(path, message_of(found))
    return Policy(classes=tuple(_class(name, document.value["classes"][name]) for name in CLASSES))


def _class(name: str, row: Mapping[str, Any]) -> QuestionClass:
    return QuestionClass(name=name, up_to=row.get("up_to", {}), groups=tuple(_groups(row)))


def _groups(row: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    yield from ((each,) if isinstance(each, str) else tuple(each) for each in row["providers"])


def _contradictions(classes: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    """Say what the schema cannot: names nobody has, names that are there twice, and classes nothing can belong to."""
    for name in CLASSES:
        place = f"classes.{name}.providers"
        named = [provider for group in _groups(classes[name]) for provider in group]
        for provider in dict.fromkeys(named):
            if named.count(provider) > 1:
                yield f"{place}: {provider!r} is there twice"
            if provider not in known:
                near = difflib.get_close_matches(provider, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield f"{place}: no provider is named {provider!r}; known: {', '.join(sorted(known))}{hint}"
    small, medium = classes[SMALL]["up_to"], classes[MEDIUM]["up_to"]
    for measure in small.keys() & medium.keys():
        if medium[measure] < small[measure]:
            yield f"classes.medium.up_to.{measure}: is less than that of small"


def _wrong(path: Path, reason: str) -> PermanentError:
    return PermanentError(f"the policy of PROCOS_AI_POLICY, {path.name}: {reason}", code="POLICY")
