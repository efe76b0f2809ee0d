"""The house: which part may import which, how large a file may grow, and which names say nothing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[2]
LONGEST, LONGEST_TEST = 300, 400
LONGEST_FUNCTION = 45
HEAVY = {"jsonata"}
"""Third parties that a worker imports when it needs them, since most never do."""
EMPTY_NAMES = re.compile(r"(utils?|helpers?|common|misc|manager)$")

SOURCES = sorted(path for folder in ("procos", "bridge", "tasks") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


class TestImports:
    def test_keep_every_contract(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
        assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out

    @pytest.mark.parametrize("path", SOURCES, ids=name_of)
    def test_leave_heavy_libraries_to_the_moment_they_are_needed(self, path: Path) -> None:
        body = ast.parse(path.read_text("utf-8")).body
        imported = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in imported} & HEAVY == set()


class TestFiles:
    def test_stay_short(self) -> None:
        limits = [(path, LONGEST) for path in SOURCES] + [(path, LONGEST_TEST) for path in TESTS]
        assert {name_of(path): lines_of(path) for path, limit in limits if lines_of(path) > limit} == {}

    def test_tell_their_story(self) -> None:
        silent = [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
        assert [name_of(path) for path in silent] == []

    def test_have_names_that_say_something(self) -> None:
        assert [name_of(path) for path in [*SOURCES, *TESTS] if EMPTY_NAMES.search(path.stem)] == []


class TestFunctions:
    @pytest.mark.parametrize("path", SOURCES, ids=name_of)
    def test_stay_short(self, path: Path) -> None:
        tree = ast.parse(path.read_text("utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        long = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions}
        assert {name: length for name, length in long.items() if length > LONGEST_FUNCTION} == {}
