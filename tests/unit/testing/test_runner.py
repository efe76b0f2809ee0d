"""StepRunner: a step goes through the whole of ProcOS in this process, and every way it can end is told."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from bridge.reporter import Verdict
from procos import routes as route_table
from procos.domain.errors import (
    BusinessError,
    EngineBusyError,
    EngineConflictError,
    PermanentError,
    RateLimited,
    TransientError,
)
from procos.domain.external_task import Topic
from procos.domain.outcome import Completion, Failure
from procos.domain.retry import RetryPolicy
from procos.routes import Route
from procos.testing import StepRunner, model_steps
from tasks.task import TaskContext, process_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR = timedelta(hours=1)
ROUTE = Route(task_name="t.greeting", queue="ai", module="greetings", retry=RetryPolicy(attempts=3, intervals=(HOUR,)))
MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:error id="error" errorCode="NOBODY"/>
<bpmn:process id="greet" isExecutable="true">
  <bpmn:serviceTask id="say_hello" camunda:type="external" camunda:topic="greeting">
    <bpmn:extensionElements><camunda:properties>
      <camunda:property name="RETRY_CONFIG" value="R2/PT5M"/>
    </camunda:properties></bpmn:extensionElements>
  </bpmn:serviceTask>
  <bpmn:boundaryEvent id="nobody" attachedToRef="say_hello">
    <bpmn:errorEventDefinition errorRef="error"/>
  </bpmn:boundaryEvent>
  <bpmn:serviceTask id="wave" camunda:type="external" camunda:topic="greeting"/>
</bpmn:process>
</bpmn:definitions>"""


class Person(BaseModel):
    name: str
    mood: str = "well"


def greet(person: Person, context: TaskContext) -> dict[str, object]:
    """Greet, or fail as asked."""
    calls.append(context.external_task_id)
    match person.mood:
        case "slow" if len(calls) < 3:
            raise TransientError("not yet")
        case "busy" if len(calls) < 3:
            raise RateLimited("later", retry_in=timedelta(seconds=30))
        case "down":
            raise TransientError("the service is down")
        case "wrong":
            raise PermanentError("no such service")
        case "nobody":
            raise BusinessError("NOBODY", "nobody is there")
    return {"greeting": f"Hello, {person.name}!", "celery_id": context.celery_id}


calls: list[str] = []


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with one route and one task, as if it were installed."""
    table = MappingProxyType({Topic("greeting"): ROUTE})
    for module in ("procos.routes", "procos.testing.runner", "procos.testing.models", "tasks.task"):
        monkeypatch.setattr(f"{module}.routes", lambda: table)
    monkeypatch.setattr("procos.testing.runner.by_queue", lambda: {"ai": table})
    monkeypatch.setitem(sys.modules, "greetings", ModuleType("greetings"))
    assert route_table.routes() is table
    process_task(topic="greeting")(greet)
    calls.clear()
    yield
    from procos.app import app  # read late, like every setting

    app.tasks.unregister("t.greeting")


@pytest.fixture
def runner() -> StepRunner:
    return StepRunner()


class TestRun:
    def test_completes_a_step_with_what_the_task_returns(self, runner: StepRunner) -> None:
        result = runner.run("greeting", name="Ada")
        assert result.verdict is Verdict.COMPLETED
        assert result.variables["greeting"] == "Hello, Ada!"
        assert result.outcomes == (Completion(variables=result.variables),)
        assert runner.ledger.entries == {}
        assert runner.ledger.in_flight("ai") == 0

    def test_takes_variables_of_any_name(self, runner: StepRunner) -> None:
        assert runner.run("greeting", {"name": "Ada", "step": 1, "from": "x"}).verdict is Verdict.COMPLETED

    def test_tries_again_as_the_policy_says(self, runner: StepRunner) -> None:
        result = runner.run("greeting", name="Ada", mood="slow")
        assert result.verdict is Verdict.COMPLETED
        assert [type(outcome) for outcome in result.outcomes] == [Failure, Failure, Completion]
        assert result.waited == 2 * HOUR
        assert [failure.retries for failure in runner.engine.failures] == [2, 1]

    def test_makes_an_incident_when_no_try_is_left(self, runner: StepRunner) -> None:
        result = runner.run("greeting", name="Ada", mood="down")
        assert (result.verdict, result.incident) == (Verdict.INCIDENT, "the service is down")
        assert len(result.outcomes) == 3

    def test_makes_an_incident_at_once_of_a_permanent_error(self, runner: StepRunner) -> None:
        result = runner.run("greeting", name="Ada", mood="wrong")
        assert (result.verdict, result.incident, len(calls)) == (Verdict.INCIDENT, "no such service", 1)

    def test_postpones_without_using_up_a_try(self, runner: StepRunner) -> None:
        result = runner.run("greeting", name="Ada", mood="busy")
        assert (result.verdict, result.waited) == (Verdict.COMPLETED, timedelta(minutes=1))
        assert [failure.retries for failure in runner.engine.failures] == [3, 3]

    def test_names_the_error_that_is_caught(self, runner: StepRunner) -> None:
        result = runner.run("greeting", name="Ada", mood="nobody", catches=["NOBODY"])
        assert (result.verdict, result.error_code) == (Verdict.BPMN_ERROR, "NOBODY")

    def test_makes_an_incident_of_an_error_nobody_catches(self, runner: StepRunner) -> None:
        result = runner.run("greeting", name="Ada", mood="nobody")
        assert result.verdict is Verdict.INCIDENT
        assert "NOBODY was not caught" in result.incident

    def test_refuses_input_the_model_does_not_fit(self, runner: StepRunner) -> None:
        result = runner.run("greeting", mood="well", catches=["INVALID_INPUT"])
        assert (result.error_code, calls) == ("INVALID_INPUT", [])

    def test_goes_on_through_what_the_engine_refuses(self, runner: StepRunner) -> None:
        collision = EngineConflictError("collided", status=500, code=1)
        runner.engine.refuse_next(None, collision, collision)
        assert runner.run("greeting", name="Ada").verdict is Verdict.COMPLETED

    @pytest.mark.parametrize("calls_before", [0, 1])
    def test_runs_once_though_an_answer_of_the_engine_is_lost(self, runner: StepRunner, calls_before: int) -> None:
        if calls_before:
            runner.engine.refuse_next(None, EngineBusyError("busy", status=503))
        runner.engine.lose_answer_of_next()
        assert runner.run("greeting", name="Ada").verdict is Verdict.COMPLETED
        assert len(calls) == 1

    def test_ends_when_the_engine_never_answers(self, runner: StepRunner) -> None:
        runner.engine.is_down = True
        with pytest.raises(AssertionError, match="50 fetches"):
            runner.run("greeting", name="Ada")

    def test_runs_several_steps_one_after_another(self, runner: StepRunner) -> None:
        assert [runner.run("greeting", name=name).variables["greeting"] for name in ("Ada", "Alan")] == [
            "Hello, Ada!",
            "Hello, Alan!",
        ]
        assert len(set(calls)) == 2


class TestModelStep:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        path = tmp_path / "greet.bpmn"
        path.write_text(MODEL, encoding="utf-8")
        return path

    def test_is_read_with_its_topic_and_retries(self, model: Path) -> None:
        steps = model_steps(model)
        assert {key: (step.topic, step.retry_config) for key, step in steps.items()} == {
            "say_hello": ("greeting", "R2/PT5M"),
            "wave": ("greeting", None),
        }

    def test_is_tried_as_the_model_says(self, runner: StepRunner, model: Path) -> None:
        result = runner.run(model_steps(model)["say_hello"], name="Ada", mood="down")
        assert (len(result.outcomes), result.waited) == (2, timedelta(minutes=5))

    def test_has_its_errors_caught_as_the_model_says(self, runner: StepRunner, model: Path) -> None:
        steps = model_steps(model)
        verdicts = [runner.run(steps[key], name="Ada", mood="nobody").verdict for key in ("say_hello", "wave")]
        assert verdicts == [Verdict.BPMN_ERROR, Verdict.INCIDENT]
