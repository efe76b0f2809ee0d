"""Connections by name: what the operator has said of a service, in the settings or in a file of its own.

Fields are found in `PROCOS_CONNECTIONS__<NAME>__<FIELD>`, and in `<name>.toml` or `<name>.json` in the folder
PROCOS_CONNECTION_DIRECTORY; the settings win. `known_connections` and `fields_of` know nothing of secrets; a message
names connection and field, never what a field holds.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from procos.domain.errors import MOST_SHOWN, PermanentError
from tasks.secrets.files import text_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import ValidationError

    from procos.settings import Settings

NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
LONGEST_NAME = 100
UNKNOWN, UNREADABLE, INVALID = "CONNECTION_UNKNOWN", "CONNECTION_UNREADABLE", "CONNECTION_INVALID"
FORMATS: Mapping[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
OWN_WORDS = {"value_error", "assertion_error"}
"""Complaints in a model's own words, which may quote the value."""


def known_connections(settings: Settings) -> frozenset[str]:
    """Return the names of all connections."""
    folder = settings.connection_directory
    files = folder.iterdir() if folder and folder.is_dir() else ()
    names = {file.stem for file in files if file.suffix in FORMATS and NAME.fullmatch(file.stem)}
    return frozenset(names | settings.connections.keys())


def fields_of(name: str, settings: Settings) -> Mapping[str, object]:
    """Return the fields of a connection, placeholders as they are.

    Raises:
        PermanentError: there is no such connection, or its file cannot be read.
        TransientError: the folder does not answer now.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise _unknown("", settings)
    of_file = _of_file(name, settings.connection_directory) if settings.connection_directory else None
    of_settings = settings.connections.get(name)
    if of_file is None and of_settings is None:
        raise _unknown(name, settings)
    given = {field: value.get_secret_value() for field, value in (of_settings or {}).items()}
    return {**(of_file or {}), **given}


def invalid(name: str, error: ValidationError) -> PermanentError:
    """Say which fields of a connection are missing or wrong."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    texts = [f"{'.'.join(map(str, each['loc'])) or 'its fields'}: {_words(each)}" for each in problems]
    return PermanentError(f"connection {name!r}: {'; '.join(texts)}", code=INVALID)


def _words(problem: Any) -> str:
    return "not valid" if problem["type"] in OWN_WORDS else str(problem["msg"])


def _of_file(name: str, folder: Path) -> Mapping[str, object] | None:
    found = {suffix: text_in(folder, name + suffix, code=UNREADABLE) for suffix in FORMATS}
    there = [suffix for suffix, text in found.items() if text is not None]
    if len(there) > 1:
        both = " and ".join(f"{name}{suffix}" for suffix in there)
        raise PermanentError(f"connection {name!r}: {both} are both in {folder}; remove one", code=UNREADABLE)
    for suffix in there:
        return _table(name + suffix, found[suffix] or "", suffix)
    return None


def _table(file: str, text: str, suffix: str) -> Mapping[str, object]:
    try:
        fields = FORMATS[suffix](text)
    except (ValueError, RecursionError):  # whose words may quote the file
        fields = None
    if not isinstance(fields, dict):
        raise PermanentError(f"{file} is no {suffix[1:].upper()} table of a connection's fields", code=UNREADABLE)
    return fields


def _unknown(name: str, settings: Settings) -> PermanentError:
    """Say which connections there are; `name` is empty where it is no name, so that nobody's text is quoted."""
    known = sorted(known_connections(settings))
    what = f"there is no connection {name!r}" if name else "what should name a connection is no name"
    shown = ", ".join(known[:MOST_SHOWN]) or "none"
    rest = f" and {len(known) - MOST_SHOWN} more" if len(known) > MOST_SHOWN else ""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return PermanentError(f"{what}; known connections: {shown}{rest}{hint}", code=UNKNOWN)
