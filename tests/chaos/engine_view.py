"""A look at the engine from beside, past the proxy: starts instances, and asks what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SECONDS = 10.0


class EngineView:
    """Plain REST calls; each raises `requests.RequestException` while the engine is away."""

    def __init__(self, rest: str) -> None:
        self.rest = rest
        self._session = requests.Session()
        self._session.trust_env = False

    def version(self) -> str:
        """Return the engine's version."""
        return str(self._get("/version")["version"])

    def deploy(self, folder: Path) -> None:
        """Deploy the models of a folder."""
        files = {path.name: (path.name, path.read_bytes(), "application/xml") for path in folder.glob("*.bpmn")}
        self._post("/deployment/create", files=files, timeout=60.0)

    def start(self, key: str, business_key: str, variables: Mapping[str, object]) -> None:
        """Start an instance, unless one with this business key was started before: an answer may have been lost."""
        if self.count("/history/process-instance", processInstanceBusinessKey=business_key):
            return
        typed = {name: {"value": value} for name, value in variables.items()}
        self._post(f"/process-definition/key/{key}/start", json={"businessKey": business_key, "variables": typed})

    def completed(self, prefix: str) -> int:
        """Count the instances of a case that reached their end event."""
        return self.count("/history/process-instance", processInstanceBusinessKeyLike=f"{prefix}%", completed="true")

    def running(self, prefix: str) -> list[Mapping[str, Any]]:
        """List the instances of a case that have not ended."""
        query = {"processInstanceBusinessKeyLike": f"{prefix}%", "unfinished": "true"}
        return list(self._get("/history/process-instance", **query))

    def incidents(self, instance_ids: Iterable[str]) -> list[str]:
        """Return the messages of these instances' incidents."""
        ours = set(instance_ids)
        return [str(row["incidentMessage"]) for row in self._get("/incident") if row["processInstanceId"] in ours]

    def external_tasks(self, **query: str) -> list[Mapping[str, Any]]:
        """List external tasks."""
        return list(self._get("/external-task", **query))

    def delete(self, prefix: str) -> None:
        """Delete what is left of a case."""
        for row in self.running(prefix):
            answer = self._session.delete(f"{self.rest}/process-instance/{row['id']}", timeout=SECONDS)
            if answer.status_code != requests.codes.not_found:
                answer.raise_for_status()

    def count(self, path: str, **query: str) -> int:
        """Count what a query finds."""
        return int(self._get(f"{path}/count", **query)["count"])

    def _get(self, path: str, **query: str) -> Any:
        answer = self._session.get(self.rest + path, params=query, timeout=SECONDS)
        answer.raise_for_status()
        return answer.json()

    def _post(self, path: str, *, timeout: float = SECONDS, **content: Any) -> None:
        self._session.post(self.rest + path, timeout=timeout, **content).raise_for_status()
