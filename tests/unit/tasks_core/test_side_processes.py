"""Programs beside a worker whose worker is no more: none of them works on for nobody."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from procos import expressions
from tasks.generic import schema_check
from tasks.side_processes import _SideProcess
from tasks.side_program import SIZE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

BACKTRACKING = {
    "expression": "$contains(text, /^(a+)+$/)",
    "data": {"text": "a" * 60 + "!"},
    "judges": False,
    "seconds": 60,
}
DOUBLED = {
    "$ref": "#/$defs/a0",
    "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)} | {"a60": {"type": "string"}},
}
ENDLESS: list[tuple[ModuleType, dict[str, Any]]] = [
    (expressions, BACKTRACKING),
    (schema_check, {"schema": json.dumps(DOUBLED), "document": "x", "most": 1}),
]


@pytest.fixture(params=ENDLESS, ids=["expressions", "schema_check"])
def at_work(request: pytest.FixtureRequest) -> Iterator[_SideProcess]:
    """Start a program that gives up soon, and ask what it will never have an answer to."""
    program, asked = request.param
    process = _SideProcess(Path(program.__file__), alone=0.2)
    message = json.dumps(asked).encode()
    process._socket.sendall(len(message).to_bytes(SIZE_BYTES) + message)
    yield process
    process.end()


class TestProgram:
    def test_ends_by_itself_where_nobody_is_left_to_end_it(self, at_work: _SideProcess) -> None:
        at_work._socket.close()
        assert at_work._process.wait(30) == -signal.SIGALRM
