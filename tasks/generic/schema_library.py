"""JSON Schemas by name and version: files of the folder PROCOS_SCHEMA_DIRECTORY.

A schema is the file `<name>.json`, or `<name>/<version>.json` where a step names a version. Without a version nothing
is guessed: the newest schema of tomorrow would judge the processes of today. Files are read for each step, so a changed
one counts from the next step on. Names have no room for a path. `tasks.generic.input_validation` is the caller.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from procos.domain.errors import MOST_SHOWN, PermanentError
from tasks.generic.json_schema import LARGEST_SCHEMA
from tasks.generic.json_values import parsed

if TYPE_CHECKING:
    from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}")
SUFFIX = ".json"
KEPT = 256
"""Schemas that are kept as they were read."""


def named_schema(name: str, version: str | None, folder: Path | None) -> dict[str, Any]:
    """Read a schema.

    Raises:
        PermanentError: UNKNOWN_SCHEMA, there is none of this name and version; SCHEMA_INVALID, its file is no schema.
    """
    if folder is None or not folder.is_dir():
        is_what = "is not set" if folder is None else f"is {str(folder)!r}, which is no folder"
        raise _unknown(f"PROCOS_SCHEMA_DIRECTORY {is_what}: it holds the schemas that schema_name names")
    if not NAME.fullmatch(name):
        raise _unknown("schema_name is no name of a schema: small letters, digits, - and _, a letter first")
    if version is not None and not VERSION.fullmatch(version):
        raise _unknown("schema_version is no version: letters, digits, ., - and _")
    file = folder / f"{name}{SUFFIX}" if version is None else folder / name / f"{version}{SUFFIX}"
    shown = name if version is None else f"{name}/{version}"
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_SCHEMA + 1)
    except FileNotFoundError:
        raise _unknown(_missing(name, version, folder)) from None
    except OSError as error:
        raise _wrong(shown, f"cannot be read: {error.strerror}") from error
    return _read(shown, content)


@lru_cache(maxsize=KEPT)
def _read(shown: str, content: bytes) -> dict[str, Any]:
    if len(content) > LARGEST_SCHEMA:
        raise _wrong(shown, f"is larger than {LARGEST_SCHEMA} bytes")
    try:
        schema = parsed(content.decode())
    except UnicodeDecodeError:
        raise _wrong(shown, "is not UTF-8") from None
    except ValueError as error:
        raise _wrong(shown, str(error)) from None
    if not isinstance(schema, dict):
        raise _wrong(shown, "is no JSON object")
    return schema


def _missing(name: str, version: str | None, folder: Path) -> str:
    versions = sorted(file.stem for file in (folder / name).glob(f"*{SUFFIX}"))
    if version is not None and versions:
        return f"schema {name!r} has no version {version!r}; there are {_listed(versions)}"
    if versions:
        return f"schema {name!r} has versions: name one by schema_version; there are {_listed(versions)}"
    known = sorted(
        {entry.stem for entry in folder.glob(f"*{SUFFIX}")} | {e.name for e in folder.iterdir() if e.is_dir()}
    )
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    what = "" if version is None else f" with a version {version!r}"
    return f"no schema is named {name!r}{what}; known: {_listed(known)}{hint}"


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return (", ".join(names[:MOST_SHOWN]) or "none") + rest


def _unknown(text: str) -> PermanentError:
    return PermanentError(text, code="UNKNOWN_SCHEMA")


def _wrong(shown: str, reason: str) -> PermanentError:
    return PermanentError(f"schema {shown!r} {reason}", code="SCHEMA_INVALID")
