"""The pytest plug-in as a user has it: a package with routes of its own, found by entry point, and no service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "samples"
HEAVY = {"celery", "kombu", "lxml", "pydantic", "redis", "requests", "structlog"}
ENTRY_POINTS = "[pytest11]\nprocos = procos.testing.plugin\n"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The sample package's checkout, with ProcOS and itself installed."""
    installed = pytester.mkdir("procos_testing-1.dist-info")
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: procos-testing\nVersion: 1\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    (pytester.path / "models").symlink_to(SAMPLES / "models")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{SAMPLES}:{pytester.path}")
    return pytester


class TestPlugin:
    def test_runs_the_tests_of_a_package_without_any_service(self, project: pytest.Pytester) -> None:
        project.makepyfile(test_sample=(SAMPLES / "tests_of_sample_tasks.py").read_text(encoding="utf-8"))
        outcome = project.runpytest_subprocess("-q", "-W", "error", timeout=60)
        outcome.assert_outcomes(passed=8)

    def test_shows_its_fixtures(self, project: pytest.Pytester) -> None:
        outcome = project.runpytest_subprocess("--fixtures", timeout=60)
        outcome.stdout.fnmatch_lines(["procos_engine*", "procos_clock*", "procos_steps*"])

    def test_fails_a_test_whose_task_does(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            test_sample="""
            def test_completes(procos_steps):
                assert procos_steps.run("sample_sleep", seconds="long").incident == ""
            """
        )
        outcome = project.runpytest_subprocess("-q", timeout=60)
        outcome.assert_outcomes(failed=1)
        outcome.stdout.fnmatch_lines(["*INVALID_INPUT was not caught by the model: seconds*"])

    def test_imports_nothing_heavy_before_a_fixture_is_asked_for(self) -> None:
        words = f"import sys, procos.testing.plugin; print(*sorted({HEAVY!r} & sys.modules.keys()))"
        answer = subprocess.run(
            [sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        assert answer.stdout.strip() == ""
