from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from procos.cli.main import COMMANDS, cli


class TestCommandLine:
    def test_lists_every_command_without_importing_one(self) -> None:
        shown = CliRunner().invoke(cli, ["--help"]).output
        assert [name for name in COMMANDS if f"\n  {name} " not in shown] == []

    def test_answers_a_typing_error_with_the_nearest_command(self) -> None:
        result = CliRunner().invoke(cli, ["rout"])
        assert result.exit_code == 2
        assert "Did you mean" in result.output
        assert "routes" in result.output


class TestImport:
    def test_of_the_app_leaves_the_environment_alone(self) -> None:
        code = "import os; before = dict(os.environ); import procos.app; assert dict(os.environ) == before"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
