"""The engine project's own tests pass, in Java, where they were written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.availability import require

BUILD = Path(__file__).parents[2] / "deploy" / "engine" / "build.sh"


class TestEngineBuild:
    def test_passes_its_own_tests_and_names_the_jar(self) -> None:
        require(None if shutil.which("mvn") else "mvn is missing: apt-get install maven")
        done = subprocess.run([str(BUILD), "--test"], capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        assert Path(done.stdout.strip()).is_file()
