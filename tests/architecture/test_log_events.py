"""The log events of the operators' page are those that the code logs, and none that matters is missing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("procos", "bridge", "tasks") for path in (ROOT / folder).rglob("*.py")]
ALERTING = {"warning", "error", "critical", "exception"}
LEVELS = {"debug", "info"} | ALERTING
EVENT = re.compile(r"`([a-z_]+\.[a-z_]+)`")
ANY_WORD = "*"

_, _, _section = (ROOT / "docs/operating.md").read_text("utf-8").partition("\n## Log events\n")
SECTION = _section.partition("\n## ")[0]
ROWS = [line.split("|")[1] for line in SECTION.splitlines() if line.startswith("| `")]
BELOW = SECTION.rpartition("|\n")[2]
DOCUMENTED = {event for text in [*ROWS, BELOW] for event in EVENT.findall(text)}


def _level(node: ast.AST) -> str | None:
    """Return the level if this is a method of a module's log."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "log":
        return node.attr if node.attr in LEVELS else None
    return None


def _chosen(tree: ast.Module) -> dict[str, set[str]]:
    """Return the levels by the name of a variable to which such methods are assigned: `level = log.info if …`."""
    return {
        node.targets[0].id: levels
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if (levels := {level for part in ast.walk(node.value) if (level := _level(part))})
        and not any(isinstance(part, ast.Call) for part in ast.walk(node.value))
    }


def _name(argument: ast.expr) -> str:
    """Return an event's name; a word that is put in is any word."""
    match argument:
        case ast.Constant(value=str() as name):
            return name
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else ANY_WORD for part in parts)
    raise TypeError(f"line {argument.lineno}: an event has a static name")


def _events(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    chosen = _chosen(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            level = _level(node.func)
            levels = {level} if level else chosen.get(node.func.id, set()) if isinstance(node.func, ast.Name) else set()
            if levels:
                yield _name(node.args[0]), levels


def _logged() -> dict[str, set[str]]:
    """Return the levels of every event that is logged anywhere."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        for event, levels in _events(ast.parse(path.read_text("utf-8"))):
            for name in _words_put_in(event):
                found[name] |= levels
    return found


def _words_put_in(event: str) -> set[str]:
    pattern = re.escape(event).replace(re.escape(ANY_WORD), r"[a-z_]+")
    return {name for name in DOCUMENTED if re.fullmatch(pattern, name)} or {event}


LOGGED = _logged()


class TestEventsOfThePage:
    def test_are_logged(self) -> None:
        assert DOCUMENTED - LOGGED.keys() == set()

    def test_are_there_at_all(self) -> None:
        assert {"outcome.reported", "redis.unreachable", "job.skipped"} <= DOCUMENTED

    def test_hold_every_warning_and_what_is_worse(self) -> None:
        alerting = {event for event, levels in LOGGED.items() if levels & ALERTING}
        assert alerting - DOCUMENTED == set()
