"""Deploys a model of one step, starts instances of it, and asks the engine's history how far they are.

A round has a definition key and a topic of its own, both called the same. Instances are started by the raw client's
program: starting them from here would take CPU time from those who are measured.
"""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import requests

from tests.local_stack import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

CALL_SECONDS = 60.0
START_SECONDS = 300.0
QUESTION_SECONDS = 1.0
"""A count of the finished costs the engine some 30 ms: it is asked no more often while something is measured."""
MODEL = SAMPLES / "models" / "sample_noop.bpmn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A definition of one step; `key` is its topic too."""

    key: str
    deployment: str


class Load:
    """One engine, as the benchmark itself uses it."""

    def __init__(self, rest: str, starter: Path) -> None:
        self._rest, self._starter = rest, starter
        self._session = requests.Session()

    def deploy(self, key: str) -> Deployed:
        """Deploy the model under this key and topic."""
        source = MODEL.read_text("utf-8").replace("sample_noop", key)
        files = {f"{key}.bpmn": (f"{key}.bpmn", source.encode(), "application/xml")}
        answer = self._session.post(f"{self._rest}/deployment/create", files=files, timeout=CALL_SECONDS)
        answer.raise_for_status()
        return Deployed(key=key, deployment=answer.json()["id"])

    def start(self, key: str, count: int) -> None:
        """Start instances, eight at a time."""
        command = [str(self._starter), "start", "-rest", self._rest, "-key", key, "-count", str(count)]
        subprocess.run(command, check=True, timeout=START_SECONDS)

    def start_one(self, key: str) -> str:
        """Start one instance and return its id."""
        body = {"variables": {"number": {"value": 1, "type": "Integer"}}}
        url = f"{self._rest}/process-definition/key/{key}/start"
        answer = self._session.post(url, json=body, timeout=CALL_SECONDS)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def await_finished(self, key: str, count: int, *, within: float, every: float = QUESTION_SECONDS) -> None:
        """Wait until so many instances have ended.

        Raises:
            TimeoutError: they have not.
        """
        deadline = time.monotonic() + within
        while (finished := self.finished(key)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{finished} of {count} instances of {key} ended within {within:g} s")
            pause(every)

    def finished(self, key: str) -> int:
        """Count the instances that have ended; 0 while the engine is away."""
        query = {"processDefinitionKey": key, "finished": "true"}
        url = f"{self._rest}/history/process-instance/count"
        try:
            answer = self._session.get(url, params=query, timeout=CALL_SECONDS)
        except requests.ConnectionError:
            return 0
        return int(answer.json()["count"]) if answer.ok else 0

    def end(self, key: str, place: int = 0) -> float:
        """Return when the instance ended that is at this place from the end, the last at 0."""
        query = {"processDefinitionKey": key, "finished": "true", "sortBy": "endTime", "sortOrder": "desc"}
        rows = self._history({**query, "firstResult": str(place), "maxResults": "1"})
        return moment(rows[0]["endTime"])

    def ends(self, key: str) -> dict[str, float]:
        """Return when each instance ended, by its id."""
        rows = self._history({"processDefinitionKey": key, "finished": "true"})
        return {row["id"]: moment(row["endTime"]) for row in rows}

    def delete(self, deployed: Deployed) -> None:
        """Delete the definition with its history."""
        url = f"{self._rest}/deployment/{deployed.deployment}"
        query = {"cascade": "true", "skipCustomListeners": "true", "skipIoMappings": "true"}
        self._session.delete(url, params=query, timeout=START_SECONDS).raise_for_status()

    def _history(self, query: dict[str, str]) -> list[dict[str, str]]:
        answer = self._session.get(f"{self._rest}/history/process-instance", params=query, timeout=CALL_SECONDS)
        answer.raise_for_status()
        return list(answer.json())


def moment(written: str) -> float:
    """Read a time as the engine writes it."""
    return datetime.strptime(written, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def pause(seconds: float) -> None:
    """Let real time pass."""
    threading.Event().wait(seconds)
