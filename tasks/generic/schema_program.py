"""Checks documents against JSON Schemas, as a function or as a program of its own, which can be killed.

`tasks.generic.json_schema` calls it where a schema and a document are small and simple, and asks it as a program
(`tasks.side_processes`) otherwise: with references or `unevaluatedProperties` a few lines of a schema can take for
ever. As a program the file has no path to the rest of ProcOS, so it imports nothing of it.

A schema refers to nothing outside itself, formats count, and patterns run in time linear in the text.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = b"ready"
SIZE_BYTES = 4
"""What stands before each message on the socket: its length."""
LARGEST_MEMORY = 1024 * 1024 * 1024
DEEPEST_STACK = 5000
KEPT = 256
"""Compiled schemas that are kept."""
MOST_LISTED = 20
"""Options, types or names of members in one finding."""
FACTS = ("property", "types", "options", "expected_value", "limit", "format", "unexpected")
Finding = dict[str, Any]
"""What breaks which rule: paths, `keyword`, `type` of the value, the `facts` of the rule, and how many `more`."""


class WrongSchemaError(Exception):
    """Raised when a schema is wrong itself, or refers to another document; says where."""


@lru_cache(maxsize=KEPT)
def validator(schema: str) -> jsonschema_rs.Validator:
    """Compile a schema.

    Raises:
        WrongSchemaError: it cannot be.
    """
    try:
        return jsonschema_rs.validator_for(
            json.loads(schema),
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
        reason = str(error).partition("\n")[0]
        raise WrongSchemaError(f"{_place_in_schema(error)}: {reason}") from error


def findings(schema: str, document: Any, most: int) -> list[Finding]:
    """Return what breaks the rules of a schema, at most so many things.

    Raises:
        WrongSchemaError: the schema is wrong.
    """
    compiled = validator(schema)
    if compiled.is_valid(document):
        return []
    found: list[Finding] = []
    for error in compiled.iter_errors(document):
        found.append(_finding(error))
        if len(found) == most:
            break
    return found


def answer(request: bytes) -> bytes:
    """Answer one question of the parent."""
    try:
        asked = json.loads(request)
        if "document" not in asked:
            validator(asked["schema"])
            return json.dumps({"findings": []}).encode()
        if asked["most"] == 0:
            return json.dumps({"valid": validator(asked["schema"]).is_valid(asked["document"])}).encode()
        return json.dumps({"findings": findings(asked["schema"], asked["document"], asked["most"])}).encode()
    except WrongSchemaError as error:
        return json.dumps({"wrong": str(error)}).encode()
    except Exception as error:  # noqa: BLE001  # every end is an answer
        return json.dumps({"fault": type(error).__name__}).encode()


def _finding(error: jsonschema_rs.ValidationError) -> Finding:
    facts = error.kind.as_dict()
    return {
        "path": list(error.instance_path),
        "schema_path": list(error.schema_path),
        "keyword": error.kind.name,
        "type": _type_of(error.instance),
        "facts": {name: _short(facts[name]) for name in FACTS if name in facts},
        "more": max([len(fact) - MOST_LISTED for fact in facts.values() if isinstance(fact, list)], default=0),
    }


def _short(fact: Any) -> Any:
    return fact[:MOST_LISTED] if isinstance(fact, list) else fact


def _type_of(value: object) -> str:
    names: Mapping[type, str] = {
        bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
    }  # fmt: skip
    return names.get(type(value), "null")


def _place_in_schema(error: Exception) -> str:
    steps = error.instance_path if isinstance(error, jsonschema_rs.ValidationError) else []
    return f" at {'/'.join(['#', *map(str, steps)])}" if steps else ""


def main(handle: int, alone: float) -> None:
    """Answer requests until the other end of the socket is closed; die over one that takes so many seconds."""
    import resource

    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which may have a check to wait for
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # kills; the worker, which does it sooner, may be dead
    sys.setrecursionlimit(DEEPEST_STACK)
    with suppress(OSError, ValueError):  # a system without such a limit; the others hold
        resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY, LARGEST_MEMORY))
    with socket.socket(fileno=handle) as end, end.makefile("rwb") as stream:
        message = READY
        while True:
            stream.write(len(message).to_bytes(SIZE_BYTES) + message)
            stream.flush()
            size = int.from_bytes(stream.read(SIZE_BYTES))
            if not size:
                return
            signal.setitimer(signal.ITIMER_REAL, alone)
            message = answer(stream.read(size))
            signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
