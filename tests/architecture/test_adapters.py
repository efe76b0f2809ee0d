"""Client libraries of services: each is the business of its adapter alone, and loaded when a step first calls it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = {"slack_sdk": "tasks.adapters.slack", "github": "tasks.adapters.github"}
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
    for folder in ("procos", "bridge", "tasks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def imported(nodes: list[ast.stmt] | ast.Module) -> set[str]:
    """Return what is imported: in a module's body at once, in a whole module whenever."""
    found = set()
    for node in nodes if isinstance(nodes, list) else ast.walk(nodes):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def uses(names: set[str], library: str) -> bool:
    return any(name == library or name.startswith(f"{library}.") for name in names)


@pytest.mark.parametrize(("library", "package"), CLIENTS.items())
class TestClientLibrary:
    def test_is_imported_by_its_adapter_alone(self, library: str, package: str) -> None:
        users = {name for name, tree in SOURCES.items() if uses(imported(tree), library)}
        assert users
        assert {name for name in users if not name.startswith(f"{package}.")} == set()

    def test_is_imported_when_it_is_needed(self, library: str, package: str) -> None:
        at_once = {name for name, tree in SOURCES.items() if uses(imported(tree.body), library)}
        early = {
            name
            for name, tree in SOURCES.items()
            if name not in at_once and any(uses(imported(tree.body), module) for module in at_once)
        }
        assert early == set(), package
