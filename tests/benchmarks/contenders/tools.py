"""Builds the raw client and installs the peers, each once, in a cache outside the repository.

The cache is the one the engine's jar lies in, in a folder made from the content of what pins the versions: nothing is
installed twice, and a new version is a new folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE = Path(__file__).parent
COMMAND_SECONDS = 300.0
DONE = ".complete"


class MissingError(Exception):
    """A contender cannot be had here; its row says why."""


class Tools:
    """The programs of the contenders, ready to run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.raw = cache(self._raw)
        self.javascript = cache(self._javascript)
        self.python = cache(self._python)

    def _raw(self) -> Path:
        """Return the raw client, which also starts the instances for everybody."""
        source = HERE / "raw_client.go"
        go = go_program()
        settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
        build = lambda home: _run(go, "build", "-o", str(home / "raw"), str(source), cwd=home, **settings)  # noqa: E731
        return self._made("raw", [source], build) / "raw"

    def _javascript(self) -> Path:
        """Return the script of the JavaScript client, beside its package."""
        package, script = HERE / "package.json", HERE / "javascript_client.mjs"
        npm = _program("npm", cure="apt-get install npm")

        def install(home: Path) -> None:
            shutil.copy(package, home)
            shutil.copy(script, home)
            _run(npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", cwd=home)

        return self._made("javascript", [package, script], install) / script.name

    def _python(self, client: str) -> Path:
        """Return the interpreter that has the packages a client pins, and nothing of ours."""
        pins = HERE / f"{client}.txt"

        def install(home: Path) -> None:
            _run(sys.executable, "-m", "venv", str(home), cwd=home)
            python = str(home / "bin" / "python")
            _run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(pins), cwd=home)

        return self._made(client, [pins], install) / "bin" / "python"

    def _made(self, name: str, sources: list[Path], make: Callable[[Path], None]) -> Path:
        key = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
        home = self._folder / f"{name}-{key}"
        if (home / DONE).exists():
            return home
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        make(home)
        # Last, so that what was begun and not finished is made anew.
        (home / DONE).touch()
        return home


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where `deploy/engine/build.sh` keeps its jars, and the benchmark what it installs."""
    named = environ.get("PROCOS_CACHE_DIR")
    usual = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "procos"
    return (Path(named) if named else usual) / "bench"


def go_program() -> str:
    """Return the Go command; its own installer puts it where no path leads.

    Raises:
        MissingError: there is none.
    """
    return _program("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go", cure="apt-get install golang-go")


def _program(name: str, *elsewhere: str, cure: str) -> str:
    found = shutil.which(name) or next((path for path in elsewhere if Path(path).exists()), None)
    if found is None:
        raise MissingError(f"{name} is missing: {cure}")
    return found


def _run(*command: str, cwd: Path, **settings: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"{command[0]} took longer than {COMMAND_SECONDS:g} s") from None
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no word"]
        raise MissingError(f"{Path(command[0]).name} failed: {last[0]}")
