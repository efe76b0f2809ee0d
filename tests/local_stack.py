"""A local stack for tests and benchmarks: `procos up`, exactly as a user runs it, with the sample package added.

Locks are 20 s, so that what depends on a lock running out shows within a test.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "tests" / "samples"
PROGRAMS = {
    "java": "apt-get install openjdk-17-jre-headless",
    "mvn": "apt-get install maven",
    "rabbitmq-server": "apt-get install rabbitmq-server",
    "redis-server": "apt-get install redis-server",
}
UP_SECONDS = 400
"""Generous: on a new machine the engine is built first."""


@dataclass(frozen=True)
class LocalStack:
    """A running stack, and how to talk to it."""

    environment: dict[str, str]
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable
    directory: Path = ROOT

    def procos(self, *arguments: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a `procos` command against the stack."""
        return subprocess.run(
            [self.python, "-m", "procos", *arguments],
            env={**self.environment, **environment},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run(self, key: str, *arguments: str, timeout: float = 120) -> dict[str, Any]:
        """Run a process, and return what `procos run --json` says."""
        done = self.procos("run", key, "--json", *arguments, timeout=timeout)
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    def status_document(self) -> dict[str, Any]:
        """Return what `procos status --json` says."""
        return dict(json.loads(self.procos("status", "--json").stdout))

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the parts of the stack by name."""
        return {part["name"]: part for part in self.status_document()["parts"]}

    def pid(self, part: str) -> int:
        """Return the process id of a part."""
        return int(self.status()[part]["pid"])

    @property
    def rest(self) -> str:
        """Return the engine's REST root."""
        return self.settings["PROCOS_ENGINE_URL"]

    def start(self, key: str, **variables: Mapping[str, object]) -> str:
        """Start a process by a plain REST call, variables as the engine writes them."""
        answer = requests.post(
            f"{self.rest}/process-definition/key/{key}/start", json={"variables": variables}, timeout=20
        )
        answer.raise_for_status()
        return str(answer.json()["id"])

    def end(self, instance_id: str) -> None:
        """Delete an instance that runs."""
        requests.delete(f"{self.rest}/process-instance/{instance_id}", timeout=20).raise_for_status()

    def deploy_source(self, name: str, source: str) -> None:
        """Deploy a model by a plain REST call, unchecked."""
        files = {f"{name}.bpmn": (f"{name}.bpmn", source.encode(), "application/xml")}
        requests.post(f"{self.rest}/deployment/create", files=files, timeout=20).raise_for_status()

    def history(self, instance_id: str) -> dict[str, Any]:
        """Return what history says of an instance."""
        return dict(requests.get(f"{self.rest}/history/process-instance/{instance_id}", timeout=20).json())

    def incidents(self, instance_id: str) -> list[str]:
        """Return the messages of an instance's incidents."""
        rows = requests.get(f"{self.rest}/incident", params={"processInstanceId": instance_id}, timeout=20).json()
        return [row["incidentMessage"] for row in rows]

    def finished(self, ids: list[str]) -> int:
        """Count how many of these instances have ended."""
        body = {"processInstanceIds": ids, "finished": True}
        answer = requests.post(f"{self.rest}/history/process-instance/count", json=body, timeout=20)
        return int(answer.json()["count"])

    def variables(self, instance_id: str) -> dict[str, Any]:
        """Return the variables of an instance, as the engine's history writes them."""
        query = {"processInstanceId": instance_id, "deserializeValues": "false"}
        rows = requests.get(f"{self.rest}/history/variable-instance", params=query, timeout=20).json()
        return {row["name"]: row for row in rows}


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait for something another process does; the limit is for a loaded machine."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except requests.RequestException:
            pass  # the engine is being restarted
        time.sleep(0.1)
    raise TimeoutError(f"not within {seconds} s: {what}")


def missing_program() -> str | None:
    """Name a program the stack needs and how to install it, if one is missing."""
    for program, cure in PROGRAMS.items():
        if not shutil.which(program) and not Path(f"/usr/sbin/{program}").exists():
            return f"{program} is missing: {cure}"
    return None


def clean_environment() -> dict[str, str]:
    """Return the environment in which `procos` finds the sample package, and none of the developer's settings."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PROCOS_")}
    return {**ours, "PATH": path, "PYTHONPATH": os.pathsep.join([str(ROOT), str(SAMPLES)])}


@contextmanager
def running_stack(folder: Path, *only: str, **settings: str) -> Iterator[LocalStack]:
    """Bring up every part, or those named alone; deploy the processes and the sample models; stop it at the end."""
    stack = LocalStack(environment={**clean_environment(), **settings}, folder=folder)
    models = (ROOT / "processes", SAMPLES / "models") if not only or "engine" in only else ()
    with brought_up(stack, *only, models=models):
        yield stack


@contextmanager
def brought_up(stack: LocalStack, *only: str, models: Iterable[Path] = ()) -> Iterator[None]:
    """Bring up every part of a stack, or those named alone; deploy these models; stop it at the end."""
    ours = {
        "PROCOS_STATE_DIRECTORY": str(stack.folder),
        "PROCOS_BRIDGE_LOCK_DURATION": "20",
        "PROCOS_STARTUP_TIMEOUT": str(UP_SECONDS),
    }
    stack.environment.update({**ours, **stack.environment})
    begun = stack.procos("up", "--detach", *(("--only", *only) if only else ()), timeout=UP_SECONDS + 60)
    try:
        assert begun.returncode == 0, begun.stdout + begun.stderr
        stack.settings.update(json.loads((stack.folder / "environment.json").read_text()))
        for folder in models:
            deployed = stack.procos("deploy", str(folder))
            assert deployed.returncode == 0, deployed.stderr
        yield
    finally:
        stack.procos("down")
        left_over = [process for process in psutil.process_iter(["environ"]) if _belongs_to(process, stack.folder)]
        _, left = psutil.wait_procs(left_over, timeout=2)
    assert not left, f"still running after `procos down`: {left}"


def _belongs_to(process: psutil.Process, folder: Path) -> bool:
    return (process.info["environ"] or {}).get("PROCOS_STATE_DIRECTORY") == str(folder)
