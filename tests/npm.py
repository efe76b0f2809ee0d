"""Checkers from npm, installed for a test from the folder that names them."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.availability import require

if TYPE_CHECKING:
    from pathlib import Path

INSTALL_SECONDS = 180


def npm_project(source: Path, folder: Path) -> Path:
    """Copy a project and install what it names; returns the copy. Skips, or fails in CI, without npm."""
    require(None if shutil.which("npm") else "npm is missing: apt-get install npm")
    copy = folder / source.name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    return copy
