"""Binds what a step gives to what a statement asks for: each value by itself, never as a part of the SQL.

A list goes where the statement says `IN :name`, and becomes as many parameters; an object goes as its JSON.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, text

from procos.domain.errors import MOST_SHOWN, BusinessError
from tasks.adapters.adapter import INVALID_INPUT
from tasks.adapters.database.connection import OWN_PARAMETER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import TextClause

LIST = re.compile(r"\bIN\s*:(\w+)", re.IGNORECASE)
PLAIN_NAME = re.compile(r"\w{1,60}")
MOST_ITEMS = 1000
"""Of a list. SQLite takes 32,766 parameters (sqlite.org/limits.html, 9), PostgreSQL 65,535."""
INT64 = 2**63
DEEPEST = 32
"""Levels of an object that goes as JSON."""


def bound(sql: str, given: Mapping[str, Any], *, key: str) -> tuple[TextClause, dict[str, Any]]:
    """Return a statement and the values of its parameters.

    Args:
        sql: the statement.
        given: the parameters of the step.
        key: what `:idempotency_key` stands for.

    Raises:
        BusinessError: INVALID_INPUT, naming the parameters that are missing, unknown or of no use.
    """
    clause = text(sql)
    wanted = set(clause.compile().params)
    problems = [*_wrong_names(wanted - {OWN_PARAMETER}, given.keys())]
    lists = set(LIST.findall(sql)) & wanted
    problems += [
        f"parameters.{name}: {problem}"
        for name in sorted(wanted & given.keys())
        if (problem := _problem(given[name], is_list=name in lists))
    ]
    if problems:
        raise BusinessError(INVALID_INPUT, "; ".join(problems))
    values = {name: _bindable(given[name]) for name in wanted & given.keys()}
    if OWN_PARAMETER in wanted:
        values[OWN_PARAMETER] = key
    return clause.bindparams(*(bindparam(name, expanding=True) for name in sorted(lists))), values


def _wrong_names(wanted: set[str], given: Iterable[str]) -> Iterable[str]:
    names = set(given)
    if missing := sorted(wanted - names):
        yield f"parameters: the statement needs {_listed(missing)}"
    if unknown := sorted(names - wanted):
        yield f"parameters: the statement has no {_listed(unknown)}"


def _listed(names: list[str]) -> str:
    """Name them; what is no name is somebody's text, and is not repeated."""
    shown = [name if PLAIN_NAME.fullmatch(name) else "(a name that is none)" for name in names[:MOST_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else "")


def _problem(value: object, *, is_list: bool) -> str | None:
    if is_list:
        return _problem_of_list(value)
    match value:
        case list() | tuple():
            return "a list goes only where the statement says IN"
        case dict():
            return _problem_of_object(value)
    return _problem_of_one(value)


def _problem_of_list(value: object) -> str | None:
    if not isinstance(value, list | tuple):
        return "expected a list"
    if len(value) > MOST_ITEMS:
        return f"has more than {MOST_ITEMS} items"
    if any(isinstance(item, list | tuple | dict) for item in value):
        return "an item is a list or an object"
    return next(filter(None, map(_problem_of_one, value)), None)


def _problem_of_object(value: object) -> str | None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            return f"is deeper than {DEEPEST} levels"
        members = [each for each in level if isinstance(each, dict)]
        texts: list[object] = [key for each in members for key in each]
        inner = [item for each in members for item in each.values()]
        inner += [item for each in level if isinstance(each, list | tuple) for item in each]
        scalars = [each for each in inner if not isinstance(each, dict | list | tuple)]
        if problem := next(filter(None, map(_problem_of_one, [*texts, *scalars])), None):
            return problem
        level = [each for each in inner if isinstance(each, dict | list | tuple)]
    return None


def _problem_of_one(value: object) -> str | None:
    match value:
        case None | bool():
            return None
        case int():
            return None if -INT64 <= value < INT64 else "has more than 64 bits; give it as text"
        case float():
            return None if math.isfinite(value) else "is not a finite number"
        case str():
            return _problem_of_text(value)
    return f"is a {type(value).__name__}; expected what JSON knows"


def _problem_of_text(value: str) -> str | None:
    if "\0" in value:
        return "contains the character U+0000, which databases refuse"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "contains half a surrogate pair"
    return None


def _bindable(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
