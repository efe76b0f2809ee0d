"""What users may ask for: the processes whose folder says what their input looks like.

A process folder with an `input.schema.json` is a kind of request, under its key, which is the folder's name, and under
the key without `_process`. A kind that somebody asks for is looked up among these names and never becomes part of a
path. The topic `request_routing` decides by it; commands may show it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from procos.domain.errors import ModelError, UnknownRequestError
from procos.shipped import shipped_processes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from procos.settings import Settings

SCHEMA = "input.schema.json"
LARGEST_SCHEMA = 1024 * 1024
SUFFIX = "_process"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
BOOKKEEPING = "request_"
"""How the variables begin that the process of a request keeps for itself."""
PROCESS_TO_EXECUTE = "process_to_execute"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKind:
    """A process that users may ask for."""

    key: str
    names: frozenset[str]
    """What it may be asked for under, its key among them."""
    schema_file: Path

    @property
    def shortest(self) -> str:
        """The name that is shown to people."""
        return min(self.names, key=len)


def request_kinds(settings: Settings) -> Mapping[str, RequestKind]:
    """Return what users may ask for, by every name: from the process directory, then from what comes with ProcOS."""
    return kinds_in([settings.process_directory, shipped_processes()], only=settings.request_kinds)


def kinds_in(folders: Iterable[Path], *, only: Collection[str] = ()) -> Mapping[str, RequestKind]:
    """Return the kinds in these folders by every name; the first folder that has a key counts, `only` narrows."""
    schemas: dict[str, Path] = {}
    for folder in folders:
        for schema in sorted(folder.glob(f"*/{SCHEMA}")):
            if NAME.fullmatch(schema.parent.name):
                schemas.setdefault(schema.parent.name, schema)
    kinds = [
        RequestKind(key=key, names=_names(key, schemas.keys()), schema_file=schema) for key, schema in schemas.items()
    ]
    return MappingProxyType(
        {name: kind for kind in kinds if not only or kind.names & set(only) for name in sorted(kind.names)}
    )


def kind_named(name: str, kinds: Mapping[str, RequestKind]) -> RequestKind:
    """Return the kind of this name.

    Raises:
        UnknownRequestError: there is none; says which there are, and which may have been meant.
    """
    if name in kinds:
        return kinds[name]
    known = {kind.shortest for kind in kinds.values()}
    raise UnknownRequestError(name if NAME.fullmatch(name) else "", known, alike=kinds.keys())


def schema_of(kind: RequestKind) -> dict[str, Any]:
    """Read the JSON Schema of what a process takes.

    Raises:
        ModelError: the file cannot be read, or holds no JSON object.
    """
    try:
        with kind.schema_file.open("rb") as file:
            content = file.read(LARGEST_SCHEMA + 1)
        schema = json.loads(content) if len(content) <= LARGEST_SCHEMA else None
    except OSError as error:
        raise ModelError(str(kind.schema_file), error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(str(kind.schema_file), "not JSON") from error
    if not isinstance(schema, dict):
        raise ModelError(str(kind.schema_file), f"expected a JSON object of at most {LARGEST_SCHEMA} bytes")
    return schema


def input_of(variables: Mapping[str, object], schema: Mapping[str, Any]) -> dict[str, object]:
    """Return what a request brings for its process: all but the bookkeeping, unless the schema names it."""
    wanted = schema.get("properties")
    named = wanted.keys() if isinstance(wanted, dict) else ()
    return {name: value for name, value in variables.items() if name in named or not _is_bookkeeping(name)}


def _names(key: str, keys: Collection[str]) -> frozenset[str]:
    """Return the names of a key; the short one may be the key of another process, and then is that one's alone."""
    short = key.removesuffix(SUFFIX)
    return frozenset({key, short}) if short and short not in keys else frozenset({key})


def _is_bookkeeping(name: str) -> bool:
    return name.startswith(BOOKKEEPING) or name == PROCESS_TO_EXECUTE
