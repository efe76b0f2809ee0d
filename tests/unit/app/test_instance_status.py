"""`procos status --instance`: what is printed of one look at an instance."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from procos.cli import instance_status
from procos.cli.stack import status
from procos.client.watching import Snapshot, StepView
from procos.domain.errors import UsageError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
from procos.engine.processes import Activity, Incident, Instance
from procos.steps import AiCall, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

STARTED = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CALL = AiCall(provider="ollama", model="llama3.2", tokens=120, seconds=8.24)


def step_view(
    name: str,
    state: str,
    *,
    seconds: float | None = None,
    worker: str | None = "worker-ai@vm",
    call: AiCall | None = None,
) -> StepView:
    ended = None if seconds is None else STARTED + timedelta(seconds=seconds)
    activity = Activity(
        activity_id=name.lower(),
        name=name,
        kind="serviceTask",
        external_task_id=ExternalTaskId(f"task-{name}"),
        started=STARTED,
        ended=ended,
        is_cancelled=False,
    )
    step = Step(
        topic="ai_query", queue="ai", state=state, worker=worker, starts=1, waited=None, seconds=seconds, ai_call=call
    )
    return StepView(activity=activity, step=step)


SNAPSHOT = Snapshot(
    instance=Instance(
        id=ProcessInstanceId("instance-1"), key="ai_query_process", state="ACTIVE", started=STARTED, ended=None
    ),
    steps=[
        step_view("Check", "completed", seconds=0.3),
        step_view("Ask", "started", call=CALL),
        step_view("Next", "published", worker=None),
    ],
    passed=[],
    incidents=[Incident(activity_id="other", message="the key is refused")],
    elapsed=0.1,
)


class FakeClient:
    """A client of an engine that has one instance."""

    def __init__(self, _: object) -> None:
        pass

    def instance(self, instance_id: str) -> FakeClient:
        if instance_id != "instance-1":
            raise UsageError(f"there is no process instance {instance_id!r}")
        return self

    def snapshots(self, *, timeout: float) -> Iterator[Snapshot]:
        assert timeout == 0
        yield SNAPSHOT


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_status, "Client", FakeClient)
    monkeypatch.setattr(instance_status, "settings", lambda: None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(status, ["--instance", *arguments])


class TestStatusOfAnInstance:
    def test_shows_each_step_and_how_far_a_model_is(self) -> None:
        lines = [line.split() for line in run("instance-1").output.splitlines()]
        assert lines[0] == ["ai_query_process", "instance-1:", "ACTIVE"]
        assert " ".join(lines[1]) == "✓ Check completed 0.30 s ai, worker-ai@vm"
        assert " ".join(lines[2]) == "… Ask started ai, worker-ai@vm ollama llama3.2: about 120 tokens in 8 s"
        assert " ".join(lines[3]) == "… Next queued ai, no worker yet"
        assert " ".join(lines[4]) == "waits for a person at other: the key is refused"

    def test_tells_programs_the_same(self) -> None:
        document = json.loads(run("instance-1", "--json").output)
        assert document["process_key"] == "ai_query_process"
        assert [step["status"] for step in document["steps"]] == ["completed", "started", "queued"]
        assert [step["ai"] for step in document["steps"]] == [
            None,
            {"provider": "ollama", "model": "llama3.2", "tokens": 120, "seconds": 8.24},
            None,
        ]
        assert document["incidents"] == ["other: the key is refused"]

    def test_of_what_there_is_not_is_an_error(self) -> None:
        assert isinstance(run("nobody").exception, UsageError)
