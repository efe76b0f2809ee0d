"""Each line of the table in docs/ai.md, through the task wrapper and back to the engine, for each kind of provider."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.reporter import Verdict
from procos.app import app
from procos.domain.outcome import BpmnError, Completion, Failure, Postponement
from procos.routes import routes
from procos.settings import load_settings
from tasks.ai.providers import health, waiting
from tests.tasks.ai_faults import FAULTS, OPENAI, Caught, Fault, Incident, Postponed, Retried, Wire
from tests.tasks.conftest import NO_REDIS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.domain.external_task import Topic
    from procos.testing import StepRunner
    from procos.testing.runner import StepResult
    from tests.tasks.conftest import ProviderServer

PAGE = (Path(__file__).parents[2] / "docs/ai.md").read_text()
CASES = [pytest.param(fault, kind, id=f"{fault.id}-{kind}") for fault in FAULTS for kind in fault.kinds]


def _lines() -> Iterator[tuple[str, ...]]:
    """Read the table; `the same` is what stands above."""
    _, _, section = PAGE.partition("## When it cannot be done\n")
    above: tuple[str, ...] = ()
    for row in section.partition("\n\nBPMN errors")[0].strip().splitlines()[2:]:
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        above = tuple(old if cell == "the same" else cell for cell, old in zip(cells, above or cells, strict=True))
        yield above


TABLE = {what: (becomes, then) for what, becomes, then in _lines()}


@pytest.fixture
def end(
    provider_server: ProviderServer, procos_steps: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Fault, str], StepResult]]:
    """Let a fault befall a step, and take the step to its end."""
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.02)
    health.forget()
    wires: list[Wire] = []
    before = app.conf.procos

    def end(fault: Fault, kind: str) -> StepResult:
        environ = {
            "PROCOS_OPENAI_API_KEY": provider_server.key, "PROCOS_OPENAI_BASE_URL": f"{provider_server.url}/v1",
            "PROCOS_OPENAI_MODEL": "m", "PROCOS_OLLAMA_URL": provider_server.url, "PROCOS_OLLAMA_MODEL": "m",
            "PROCOS_REDIS_URL": NO_REDIS,
        }  # fmt: skip
        own = {name.replace("{KIND}", kind.upper()): value for name, value in fault.settings.items()}
        app.conf.procos = load_settings(environ | own, dotenv=None)
        wires.append(Wire(kind, provider_server, monkeypatch))
        fault.made(wires[0])
        if isinstance(fault.ends, Postponed | Retried):
            wires[0].heals()
        codes = routes()[_topic(fault)].errors
        return procos_steps.run(fault.topic, {"provider": kind} | dict(fault.given), catches=("INVALID_INPUT", *codes))

    yield end
    app.conf.procos = before  # not one of those that can be taken away again, as a patch would
    for wire in wires:
        wire.over.set()


def _topic(fault: Fault) -> Topic:
    return next(topic for topic in routes() if topic == fault.topic)


class TestTable:
    def test_has_a_case_for_each_line_and_no_other(self) -> None:
        assert {fault.line for fault in FAULTS} == set(TABLE)
        assert len(TABLE) == 12

    @pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
    def test_says_what_a_case_says(self, fault: Fault) -> None:
        becomes, then = TABLE[fault.line]
        match fault.ends:
            case Caught(code=code):
                assert becomes.startswith(f"BPMN error {code}")
                assert then == "the model may catch it"
            case Incident():
                assert becomes.startswith("failure ")
                assert then.startswith("an incident")
            case Postponed():
                assert becomes.startswith("postponed")
                assert then == "tried again, no retry used up"
            case Retried():
                assert becomes.startswith("failure")
                assert then == "an incident after the last retry"


@pytest.mark.parametrize(("fault", "kind"), CASES)
def test_ends_as_the_table_says(end: Callable[[Fault, str], StepResult], fault: Fault, kind: str) -> None:
    result = end(fault, kind)
    match fault.ends:
        case Caught():
            _caught(result, fault.ends)
        case Incident():
            (outcome,) = result.outcomes
            assert isinstance(outcome, Failure)
            assert (outcome.code, outcome.permanent) == (fault.ends.code, True)
            assert result.verdict is Verdict.INCIDENT
            assert fault.ends.says.replace("{KIND}", kind.upper()) in result.incident
        case Postponed(after=after):
            first, then = result.outcomes
            assert isinstance(first, Postponement)
            assert (first.retry_in, result.waited) == (after, after)
            assert isinstance(then, Completion)
            assert result.verdict is Verdict.COMPLETED
        case Retried():
            _retried(result, fault.ends)


def _caught(result: StepResult, expected: Caught) -> None:
    (outcome,) = result.outcomes
    assert isinstance(outcome, BpmnError)
    assert (result.verdict, result.error_code) == (Verdict.BPMN_ERROR, expected.code)
    assert set(expected.names) <= set(outcome.variables)


def _retried(result: StepResult, expected: Retried) -> None:
    *failures, last = result.outcomes
    if expected.lasts:
        failures.append(last)
        assert (len(failures), result.verdict) == (3, Verdict.INCIDENT)
    else:
        assert (len(failures), result.verdict) == (1, Verdict.COMPLETED)
    for failure in failures:
        assert isinstance(failure, Failure)
        assert (failure.code, failure.permanent, failure.retry_in) == (expected.code, False, expected.after)
    assert result.waited == (expected.after or result.waited)


def test_asks_each_time_and_by_itself_never_twice(
    end: Callable[[Fault, str], StepResult], provider_server: ProviderServer
) -> None:
    """Neither the client nor the step tries again: that is the engine's to say."""
    always = Fault(line="", id="", ends=Incident(code=""), made=lambda wire: wire.refuses(500))
    result = end(always, OPENAI)
    assert result.verdict is Verdict.INCIDENT
    assert [type(outcome) for outcome in result.outcomes] == [Failure] * 3
    assert provider_server.paths == ["/v1/chat/completions"] * 3
    assert result.waited <= timedelta(seconds=15)
