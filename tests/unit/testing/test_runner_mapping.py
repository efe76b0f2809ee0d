"""StepRunner: what a model says of output and errors holds in tests as it does in production, on every path."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from bridge.reporter import Verdict
from procos.domain.errors import BusinessError, PermanentError, RateLimited, TransientError
from procos.domain.external_task import Topic
from procos.domain.mapping import OutputMapping
from procos.domain.outcome import Completion, Failure, Postponement
from procos.domain.retry import RetryPolicy
from procos.routes import Route
from procos.testing import ModelStep, StepRunner, model_steps
from tasks.task import process_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from procos.testing import StepResult

MINUTE = timedelta(minutes=1)
RETRY = RetryPolicy(attempts=3, intervals=(MINUTE,))
ROUTE = Route(task_name="t.asking", queue="ai", module="askings", retry=RETRY)
MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:error id="error" errorCode="GIVEN_UP"/>
<bpmn:process id="ask" isExecutable="true">
  <bpmn:serviceTask id="step" camunda:type="external" camunda:topic="asking">
    <bpmn:extensionElements><camunda:properties>
      <camunda:property name="RETRY_CONFIG" value="R2/PT5M"/>
      <camunda:property name="resultVariable" value="everything"/>
      <camunda:property name="resultExpression" value="{'reply': answer}"/>
      <camunda:property name="errorExpression" value="retries = 0 ? $bpmnError('GIVEN_UP')"/>
    </camunda:properties></bpmn:extensionElements>
  </bpmn:serviceTask>
  <bpmn:boundaryEvent id="given_up" attachedToRef="step">
    <bpmn:errorEventDefinition errorRef="error"/>
  </bpmn:boundaryEvent>
</bpmn:process>
</bpmn:definitions>"""


class Question(BaseModel):
    mood: str = "well"


def ask(question: Question) -> dict[str, object]:
    """Answer, or fail as asked."""
    calls.append(question.mood)
    match question.mood:
        case "down":
            raise TransientError("the service is down")
        case "wrong":
            raise PermanentError("no such service")
        case "busy" if len(calls) == 1:
            raise RateLimited("later", retry_in=MINUTE)
        case "refused":
            raise BusinessError("REFUSED", "no", variables={"why": "rude"})
    return {"answer": "42", "tokens": 7}


calls: list[str] = []


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with one route and one task, as if it were installed."""
    table = MappingProxyType({Topic("asking"): ROUTE})
    for module in ("procos.routes", "procos.testing.runner", "procos.testing.models", "tasks.task"):
        monkeypatch.setattr(f"{module}.routes", lambda: table)
    monkeypatch.setattr("procos.testing.runner.by_queue", lambda: {"ai": table})
    monkeypatch.setitem(sys.modules, "askings", ModuleType("askings"))
    process_task(topic="asking")(ask)
    calls.clear()
    yield
    from procos.app import app  # read late, like every setting

    app.tasks.unregister("t.asking")


@pytest.fixture
def runner() -> StepRunner:
    return StepRunner()


def run(
    runner: StepRunner,
    *,
    mood: str = "well",
    variable: str | None = None,
    result: str | None = None,
    error: str | None = None,
) -> StepResult:
    mapping = OutputMapping(result_variable=variable, result_expression=result, error_expression=error)
    return runner.run(ModelStep(activity_id="step", topic=Topic("asking"), mapping=mapping), mood=mood)


class TestResult:
    def test_is_set_by_name_where_the_model_says_nothing(self, runner: StepRunner) -> None:
        assert run(runner).variables == {"answer": "42", "tokens": 7}

    def test_is_one_variable(self, runner: StepRunner) -> None:
        assert run(runner, variable="reply").variables == {"reply": {"answer": "42", "tokens": 7}}

    def test_is_what_the_expression_yields(self, runner: StepRunner) -> None:
        assert run(runner, result="{'reply': answer, 'cost': tokens / 2}").variables == {"reply": "42", "cost": 3.5}

    @pytest.mark.parametrize(
        ("expression", "said"),
        [("{", "does not parse"), ("answer", "yields a text"), ("{'a': answer - 1}", "cannot be evaluated")],
    )
    def test_that_cannot_be_mapped_is_tried_again_and_then_an_incident_that_says_so(
        self, runner: StepRunner, expression: str, said: str
    ) -> None:
        result = run(runner, result=expression, error="$ignoreError()")
        assert result.verdict is Verdict.INCIDENT
        assert f"resultExpression {said}" in result.incident
        assert [outcome.code for outcome in result.outcomes if isinstance(outcome, Failure)] == [
            "EXPRESSION_FAILED"
        ] * 3

    def test_that_no_variable_can_hold_is_an_incident_at_once(self, runner: StepRunner) -> None:
        result = run(runner, result="{'reply': '\\u0000'}")
        assert (result.verdict, len(result.outcomes)) == (Verdict.INCIDENT, 1)
        assert "variable 'reply'" in result.incident


class TestError:
    def test_ends_as_ever_where_the_expression_yields_nothing(self, runner: StepRunner) -> None:
        result = run(runner, mood="down", error="error.code = 'OTHER' ? $ignoreError()")
        assert (result.verdict, result.incident, len(result.outcomes)) == (Verdict.INCIDENT, "the service is down", 3)

    def test_takes_another_way(self, runner: StepRunner) -> None:
        result = run(runner, mood="refused", error="$bpmnError('OTHER', error.variables.why)")
        assert result.incident == "BPMN error OTHER was not caught by the model: rude"

    def test_of_the_input_is_mapped_too(self, runner: StepRunner) -> None:
        step = ModelStep(
            activity_id="step",
            topic=Topic("asking"),
            mapping=OutputMapping(error_expression="error.code = 'INVALID_INPUT' ? $ignoreError({'asked': false})"),
        )
        assert runner.run(step, mood=5).variables == {"asked": False}

    def test_is_tried_again_when_the_expression_says(self, runner: StepRunner) -> None:
        result = run(runner, mood="wrong", error="$jobError('not yet', {'seen': true}, null, 'PT2H')")
        assert (result.verdict, result.incident, result.waited) == (Verdict.INCIDENT, "not yet", timedelta(hours=4))
        assert [(f.retries, f.variables) for f in runner.engine.failures] == [(n, {"seen": True}) for n in (2, 1, 0)]

    def test_is_an_incident_at_once_without_retries(self, runner: StepRunner) -> None:
        result = run(runner, mood="down", error="$jobError('call somebody', {}, 0)")
        assert (result.verdict, result.incident, len(result.outcomes)) == (Verdict.INCIDENT, "call somebody", 1)

    def test_is_not_tried_for_ever_whatever_the_expression_says(self, runner: StepRunner) -> None:
        result = run(runner, mood="down", error="$jobError('again', {}, 99)")
        assert [failure.retries for failure in runner.engine.failures] == [2, 1, 0]
        assert result.verdict is Verdict.INCIDENT

    def test_is_tried_less_often_when_the_expression_says(self, runner: StepRunner) -> None:
        run(runner, mood="down", error="$jobError('once more', {}, retries > 1 ? 1)")
        assert [failure.retries for failure in runner.engine.failures] == [1, 0]

    def test_is_ignored(self, runner: StepRunner) -> None:
        result = run(runner, mood="busy", result="{'x': answer}", error="$ignoreError({'answer': null})")
        assert (result.verdict, result.variables) == (Verdict.COMPLETED, {"answer": None})
        assert result.outcomes == (Completion(variables={"answer": None}),)

    def test_is_still_a_postponement_where_the_expression_yields_nothing(self, runner: StepRunner) -> None:
        result = run(runner, mood="busy", error="error.kind = 'transient' ? $ignoreError()")
        assert [type(outcome) for outcome in result.outcomes] == [Postponement, Completion]
        assert [failure.retries for failure in runner.engine.failures] == [3]

    def test_is_told_with_what_is_wrong_with_the_expression(self, runner: StepRunner) -> None:
        result = run(runner, mood="wrong", error="error.nothing.(")
        assert result.verdict is Verdict.INCIDENT
        assert "errorExpression does not parse" in result.incident
        assert "no such service" in result.incident
        assert len(result.outcomes) == 3


class TestModel:
    @pytest.fixture
    def step(self, tmp_path: Path) -> ModelStep:
        path = tmp_path / "ask.bpmn"
        path.write_text(MODEL, encoding="utf-8")
        return model_steps(path)["step"]

    def test_has_its_result_mapped(self, runner: StepRunner, step: ModelStep) -> None:
        result = runner.run(step)
        assert result.variables == {"everything": {"answer": "42", "tokens": 7}, "reply": "42"}

    def test_has_its_errors_mapped_and_caught(self, runner: StepRunner, step: ModelStep) -> None:
        result = runner.run(step, mood="down")
        assert (result.verdict, result.error_code) == (Verdict.BPMN_ERROR, "GIVEN_UP")
        assert (len(result.outcomes), result.waited) == (2, timedelta(minutes=5))
