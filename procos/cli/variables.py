"""Variables on a command line: pairs of name and value, and a file of them; JSON values keep their type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from procos.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def given(pairs: Iterable[str], file: Path | None) -> Mapping[str, object]:
    """Return what was given; a pair wins over the file.

    Raises:
        UsageError: a pair is none, or the file holds no JSON object.
    """
    return {**_from_file(file), **dict(_pair(pair) for pair in pairs)}


def _pair(text: str) -> tuple[str, object]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise UsageError(f"--var {text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _from_file(path: Path | None) -> Mapping[str, object]:
    if path is None:
        return {}
    try:
        variables = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--vars-file {path}: {error}") from error
    if not isinstance(variables, dict):
        raise UsageError(f"--vars-file {path}: expected a JSON object of variables")
    return variables
