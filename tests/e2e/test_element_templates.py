"""The element templates are what Camunda Modeler takes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.npm import npm_project

ROOT = Path(__file__).parents[2]
CHECKER = ROOT / "deploy" / "dev" / "element-templates"
TEMPLATES = ROOT / ".camunda" / "element-templates" / "procos.json"


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm_project(CHECKER, tmp_path_factory.mktemp("element-templates"))


def check(checker: Path, templates: Path) -> subprocess.CompletedProcess[str]:
    command = ["node", "check.mjs", str(templates)]
    return subprocess.run(command, cwd=checker, capture_output=True, text=True, timeout=60, check=False)


class TestElementTemplates:
    def test_are_valid_for_camunda_modeler(self, checker: Path) -> None:
        done = check(checker, TEMPLATES)
        assert done.returncode == 0, done.stdout

    def test_with_a_binding_nobody_knows_would_not_be(self, checker: Path, tmp_path: Path) -> None:
        templates = json.loads(TEMPLATES.read_text("utf-8"))
        templates[0]["properties"][2]["binding"]["type"] = "camunda:nothing"
        broken = tmp_path / "broken.json"
        broken.write_text(json.dumps(templates), "utf-8")
        assert check(checker, broken).returncode == 1
