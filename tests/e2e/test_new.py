"""What `procos new` writes works as it is, and what cannot be is refused before anything is written."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from procos.cli.main import cli
from procos.domain.errors import UsageError
from tests.local_stack import ROOT, clean_environment

if TYPE_CHECKING:
    from pathlib import Path


def installed(folder: Path, name: str) -> Path:
    """Put the package's entry point beside it, as `pip install` would; returns what goes on the path."""
    metadata = folder / f"{name}-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text(f"[procos.routes]\n{name} = {name}.routes:ROUTES\n", "utf-8")
    return folder


class TestTask:
    def test_is_a_package_whose_own_tests_pass(self, tmp_path: Path) -> None:
        folder = tmp_path / "greet_customer"
        result = CliRunner().invoke(cli, ["new", "task", "greet_customer", "--queue", "ai", "--into", str(folder)])
        assert result.exit_code == 0, result.output
        path = installed(folder, "greet_customer")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests")],
            cwd=folder,
            env={**clean_environment(), "PYTHONPATH": f"{path}:{ROOT}"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 passed" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["Greet"], "small letters"),
            (["class"], "cannot name a package"),
            (["../up"], "cannot name a package"),
            (["ai_query"], "served already, by procos"),
            (["greet", "--queue", "callbacks"], "one of ProcOS's own"),
            (["greet", "--queue", "my queue"], "cannot name a queue"),
        ],
    )
    def test_is_refused_where_its_name_cannot_be(self, tmp_path: Path, arguments: list[str], said: str) -> None:
        result = CliRunner().invoke(cli, ["new", "task", *arguments, "--into", str(tmp_path / "new")])
        assert isinstance(result.exception, UsageError)
        assert said in str(result.exception)
        assert not (tmp_path / "new").exists()

    def test_is_written_over_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("mine")
        result = CliRunner().invoke(cli, ["new", "task", "greet", "--into", str(tmp_path)])
        assert isinstance(result.exception, UsageError)
        assert [file.name for file in tmp_path.iterdir()] == ["mine"]
