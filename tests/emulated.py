"""Slack and GitHub as npm's `emulate` has them: stateful, on loopback, and real enough for both client libraries."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procos.kernel.ports import is_free
from tests.npm import npm_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = Path(__file__).parents[1] / "deploy" / "dev" / "emulate"
TOKEN = "test_token_admin"
START_SECONDS, STOP_SECONDS = 30.0, 10.0
TRIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """Where the two are."""

    github_port: int
    slack_port: int

    @property
    def github(self) -> str:
        return f"http://localhost:{self.github_port}"

    @property
    def slack(self) -> str:
        return f"http://localhost:{self.slack_port}/api"

    def ask(self, url: str, body: object = None) -> Any:
        """Ask one of them without any of our code; a body makes it a POST."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, content, headers), timeout=5) as answer:  # noqa: S310  # loopback
            return json.load(answer)


@contextmanager
def emulated(folder: Path, seed: Mapping[str, object]) -> Iterator[Emulated]:
    """Install it and run it until the test session is over; skips, or fails in CI, without npm."""
    project = npm_project(PROJECT, folder)
    (folder / "seed.json").write_text(json.dumps(seed))
    there = Emulated(github_port=(port := _first_of_two()), slack_port=port + 1)
    command = ["node", "--require", str(project / "loopback.cjs"), "node_modules/emulate/dist/index.js", "start"]
    command += ["--service", "github,slack", "--port", str(port), "--seed", str(folder / "seed.json")]
    with (folder / "emulate.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=project, stdout=log, stderr=log, env=dict(os.environ))  # noqa: TID251  # node's path
        try:
            _await(there, process, folder / "emulate.log")
            yield there
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _first_of_two() -> int:
    """Choose two neighbours, which is how it numbers its services; below those that connections are given at random."""
    for port in random.sample(range(20_000, 30_000, 2), TRIES):
        if is_free(port) and is_free(port + 1):
            return port
    raise AssertionError(f"none of {TRIES} pairs of ports is free")


def _await(there: Emulated, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            there.ask(f"{there.github}/rate_limit")
            there.ask(f"{there.slack}/auth.test", {})
        except OSError:
            time.sleep(0.1)  # noqa: TID251  # it starts
        else:
            return
    raise AssertionError(log.read_text())
