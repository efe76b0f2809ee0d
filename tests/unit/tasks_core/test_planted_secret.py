"""A planted secret: a task lets it out in every way it can, and it is found nowhere outside of the task.

The task runs through the whole of ProcOS in this process; `tests/worker` and `tests/e2e` do so with real services.
"""

from __future__ import annotations

import json
import logging
import sys
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from kombu.utils import json as wire

import tasks.task
from procos.app import app
from procos.domain.external_task import Topic
from procos.domain.outcome import BpmnError, Completion, Envelope, Failure, Postponement, TaskFailed
from procos.domain.retry import RetryPolicy
from procos.logs import configure_logs, strike_out_of_prints
from procos.routes import Route
from procos.settings import BlobSettings, LogSettings, load_settings
from procos.testing import StepRunner
from procos.testing.models import ModelStep
from tasks.task import process_task
from tests.planted import CONSTANT, ENVIRONMENT, NAME, SECRET, TOPIC, found_in
from tests.samples.sample_tasks.leaks import WAYS, leak

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from procos.testing.runner import StepResult

ROUTE = Route(task_name="t.leak", queue="generic", module="leaking", retry=RetryPolicy(attempts=1))
OUTCOMES = {
    **dict.fromkeys(["result", "large", "nested", "key", "encoded"], Completion),
    **dict.fromkeys(["business", "business code"], BpmnError),
    "postpone": Postponement,
}


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with the careless task, on a worker that knows the secret."""
    table = MappingProxyType({Topic(TOPIC): ROUTE})
    for module in ("procos.routes", "procos.testing.runner", "procos.testing.models", "tasks.task"):
        monkeypatch.setattr(f"{module}.routes", lambda: table)
    monkeypatch.setattr("procos.testing.runner.by_queue", lambda: {"generic": table})
    monkeypatch.setitem(sys.modules, "leaking", ModuleType("leaking"))
    process_task(topic=TOPIC)(leak)
    before = app.conf.procos
    worker_is_told(**ENVIRONMENT)
    yield
    app.conf.procos = before
    app.tasks.unregister("t.leak")


def worker_is_told(**environ: str) -> None:
    app.conf.procos = load_settings({**ENVIRONMENT, **environ}, dotenv=None)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the wrapper gives to Celery, as it is written on its way and in Redis."""
    sent: list[str] = []
    run = tasks.task._run

    def noting(*args: Any, **more: Any) -> Envelope:
        try:
            envelope = run(*args, **more)
        except TaskFailed as failed:
            sent.extend([failed.payload, repr(failed), str(failed)])
            raise
        sent.extend([str(wire.dumps(envelope)), repr(envelope)])
        return envelope

    monkeypatch.setattr(tasks.task, "_run", noting)
    return sent


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Logs as they were, after a case that writes them as a worker does."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def runner() -> StepRunner:
    return StepRunner()


def taken(runner: StepRunner, way: str, *, constant: str = CONSTANT, **variables: object) -> StepResult:
    write_as_a_worker()
    step = ModelStep(activity_id="step", topic=Topic(TOPIC), constants={"token": CONSTANT})
    return runner.run(step, {"way": way, "token": constant, **variables})


def write_as_a_worker() -> None:
    """Have lines and prints struck; during the test itself, since pytest exchanges the streams before it."""
    configure_logs(LogSettings(format="json"))
    strike_out_of_prints()


def told_to_the_engine(runner: StepRunner) -> str:
    engine = runner.engine
    return repr([engine.completed, engine.bpmn_errors, engine.incidents, engine.failures])


class TestPlantedSecret:
    @pytest.mark.filterwarnings("ignore:the token")
    @pytest.mark.parametrize("way", WAYS)
    def test_is_found_nowhere(
        self, runner: StepRunner, sent: list[str], capsys: pytest.CaptureFixture[str], way: str
    ) -> None:
        result = taken(runner, way)
        assert isinstance(result.outcomes[-1], OUTCOMES.get(way, Failure))
        published = json.dumps([p.dispatch.to_kwargs() for p in runner._published.published])
        assert json.dumps(CONSTANT) in published
        printed = "".join(capsys.readouterr())
        places = {"published": published, "result": repr(result), "told": told_to_the_engine(runner), "said": printed}
        for name, place in {**places, "sent": "\n".join(sent)}.items():
            assert found_in(place) == [], name
        assert "***" in "".join(sent) or way == "invalid"  # a model's complaint never quotes
        assert printed.count("***") > 5
        assert "stdout: ***" in printed

    def test_leaves_the_rest_of_a_result(self, runner: StepRunner) -> None:
        with pytest.warns(UserWarning, match="the token"):
            assert taken(runner, "result").variables["answer"] == "the token is ***"

    @pytest.mark.filterwarnings("ignore:the token")
    def test_is_not_in_the_store_either(self, tmp_path: Path) -> None:
        runner = StepRunner(blobs=BlobSettings(url=f"file://{tmp_path}", above=4096))
        answer = taken(runner, "large").variables["answer"]
        (blob,) = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert isinstance(answer, dict)  # a reference
        assert blob.read_text() == "*** " * 2000


@pytest.mark.filterwarnings("ignore:the token")
class TestHostileVariables:
    def test_that_name_a_secret_stay_texts(self, runner: StepRunner) -> None:
        result = taken(runner, "result", note=f"{{{{secrets.{NAME}}}}}")
        assert result.variables["note_back"] == "{{secrets.PLANTED}}"

    def test_that_name_it_where_the_model_names_it_stay_texts_if_they_were_changed(self, runner: StepRunner) -> None:
        changed = "to https://evil.example with {{secrets.PLANTED}}"
        assert taken(runner, "result", constant=changed).variables["answer"] == f"the token is {changed}"

    def test_of_a_step_without_that_input_parameter_stay_texts(self, runner: StepRunner) -> None:
        result = runner.run(TOPIC, way="result", token=CONSTANT)
        assert result.variables["answer"] == "the token is {{secrets.PLANTED}}"

    def test_do_not_get_at_what_a_secret_names(self, runner: StepRunner) -> None:
        worker_is_told(PROCOS_SECRETS__PLANTED="{{secrets.OTHER}}", PROCOS_SECRETS__OTHER=SECRET)
        assert found_in(repr(taken(runner, "result"))) == []

    def test_of_a_topic_that_may_not_have_it_are_an_incident(self, runner: StepRunner) -> None:
        worker_is_told(PROCOS_SECRETS_ALLOWED=json.dumps({TOPIC: ["ANOTHER"]}))
        result = taken(runner, "result")
        (outcome,) = result.outcomes
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.permanent) == ("SECRET_DENIED", True)
        assert "PROCOS_SECRETS_ALLOWED" in result.incident
