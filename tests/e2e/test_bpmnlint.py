"""The process models are clean under bpmnlint."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.npm import npm_project

ROOT = Path(__file__).parents[2]
LINTER = ROOT / "deploy" / "dev" / "bpmnlint"


@pytest.fixture(scope="module")
def linter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm_project(LINTER, tmp_path_factory.mktemp("bpmnlint"))


def lint(linter: Path, model: Path) -> subprocess.CompletedProcess[str]:
    command = ["npx", "bpmnlint", "--max-warnings", "0", str(model)]
    return subprocess.run(command, cwd=linter, capture_output=True, text=True, timeout=60, check=False)


class TestModels:
    @pytest.mark.parametrize("model", sorted((ROOT / "processes").rglob("*.bpmn")), ids=lambda model: model.parent.name)
    def test_are_clean(self, linter: Path, model: Path) -> None:
        done = lint(linter, model)
        assert done.returncode == 0, done.stdout

    def test_with_a_loose_end_would_not_pass(self, linter: Path, tmp_path: Path) -> None:
        source = (ROOT / "processes" / "ai_query_process" / "model.bpmn").read_text()
        broken = tmp_path / "broken.bpmn"
        broken.write_text(source.replace("<bpmn:sequenceFlow", "<bpmn:sequenceFlowX", 1))
        assert lint(linter, broken).returncode != 0
