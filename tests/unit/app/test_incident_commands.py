from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from procos.cli.incidents import incidents, one_line
from procos.cli.retry import retry
from procos.client import retries
from procos.domain.errors import TaskGoneError, UsageError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from procos.engine.incidents import EXTERNAL_TASK, JOB, Incidents, OpenIncident
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.testing import Result


def incident(number: int, *, topic: str | None = "ai_query", kind: str = EXTERNAL_TASK, **changes: str) -> OpenIncident:
    key = changes.get("key", "ai_query_process")
    return OpenIncident(
        id=f"incident-{number}",
        kind=kind,
        process_key=key,
        process_instance_id=ProcessInstanceId(f"instance-{number}"),
        business_key=changes.get("business_key"),
        activity_id="ask",
        topic=Topic(topic) if topic else None,
        external_task_id=ExternalTaskId(f"task-{number}") if kind == EXTERNAL_TASK else None,
        job_id=f"job-{number}" if kind == JOB else None,
        since=datetime.now(UTC) - timedelta(minutes=5),
        message=changes.get("message", "the provider does not answer"),
        instances=frozenset({f"instance-{number}", "instance-above"}),
        processes=frozenset({key}),
    )


class Engine:
    """The incidents there are, and what was done about them."""

    def __init__(self) -> None:
        self.incidents: Sequence[OpenIncident] = []
        self.retried: dict[str, int] = {}
        self.gone: set[str] = set()

    def open(self) -> Sequence[OpenIncident]:
        return self.incidents

    def retry(self, about: OpenIncident, retries: int) -> None:
        if about.id in self.gone:
            raise TaskGoneError("External task with id task-1 does not exist")
        assert about.retried_by
        self.retried[about.retried_by] = retries


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(Incidents, "open", lambda _: engine.open())
    monkeypatch.setattr(Incidents, "retry", lambda _, about, retries: engine.retry(about, retries))
    monkeypatch.setattr(retries, "_why_nothing", lambda _transport, wanted: f"nobody knows {wanted}")
    return engine


@pytest.fixture
def command(tmp_path: object) -> Callable[..., Result]:
    environment = {"PROCOS_STATE_DIRECTORY": str(tmp_path), "NO_COLOR": "1"}
    commands = {"incidents": incidents, "retry": retry}

    def call(name: str, *arguments: str) -> Result:
        return CliRunner(env=environment).invoke(commands[name], arguments)

    return call


class TestIncidents:
    def test_show_where_since_when_and_what(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents = [incident(1, business_key="order-17")]
        result = command("incidents")
        assert result.exit_code == 0
        for words in ("ai_query_process / ask", "5 min ago", "the provider does not answer", "order-17", "task-1"):
            assert words in result.stdout
        assert "1 incident waits. Mend the cause, then: procos retry" in result.stderr

    def test_stand_on_one_line_each_where_nobody_sees_a_width(
        self, engine: Engine, command: Callable[..., Result]
    ) -> None:
        engine.incidents = [incident(1, message="word " * 130)]
        assert ("word " * 130).strip() in command("incidents").stdout

    def test_cannot_command_the_terminal(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents = [incident(1, message="\x1b[2J\x1b]0;title\x07gone\r\n\u202esecret", key="a\x1b[31mb")]
        shown = command("incidents").stdout
        assert not any(character in shown for character in "\x1b\x07\r\u202e")
        assert "ab / ask" in shown

    def test_are_those_of_one_process_where_it_is_named(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents = [incident(1), incident(2, key="other")]
        result = command("incidents", "--process", "other", "--json")
        assert [row["process_instance_id"] for row in json.loads(result.stdout)] == ["instance-2"]

    def test_are_none_without_being_a_failure(self, engine: Engine, command: Callable[..., Result]) -> None:
        assert engine.incidents == []
        result = command("incidents", "--process", "nobody")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "no open incidents of nobody" in result.stderr

    def test_are_a_list_for_programs_also_when_there_are_none(
        self, engine: Engine, command: Callable[..., Result]
    ) -> None:
        assert json.loads(command("incidents", "--json").stdout) == engine.incidents == []

    def test_keep_their_message_whole_for_programs(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents = [incident(1, message="two\nlines", topic=None, kind=JOB)]
        (row,) = json.loads(command("incidents", "--json").stdout)
        assert row["message"] == "two\nlines"
        assert (row["external_task_id"], row["job_id"], row["topic"]) == (None, "job-1", None)
        assert datetime.fromisoformat(row["since"]).tzinfo is not None


class TestRetry:
    def test_gives_back_the_attempts_of_the_route(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents = [incident(1), incident(2)]
        result = command("retry", "instance-1")
        assert result.exit_code == 0
        assert engine.retried == {"/external-task/task-1": routes()[Topic("ai_query")].retry.attempts}
        assert "✓ ai_query_process / ask  instance-1  3 attempts" in result.stdout

    @pytest.mark.parametrize("wanted", ["task-2", "instance-2"])
    def test_finds_a_step_by_task_or_instance(
        self, engine: Engine, command: Callable[..., Result], wanted: str
    ) -> None:
        engine.incidents = [incident(1), incident(2)]
        command("retry", wanted, "--retries", "1")
        assert engine.retried == {"/external-task/task-2": 1}

    def test_finds_all_that_an_instance_above_waits_for(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents = [incident(1), incident(2, kind=JOB, topic=None)]
        command("retry", "instance-above")
        assert set(engine.retried) == {"/external-task/task-1", "/job/job-2"}

    def test_does_each_once_however_often_it_is_named(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents = [incident(1)]
        result = command("retry", "instance-1", "task-1", "task-1")
        assert result.exit_code == 0
        assert result.stdout.count("✓") == 1

    def test_is_for_all_of_a_process(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents = [incident(1), incident(2, key="other"), incident(3)]
        assert command("retry", "--all", "--process", "ai_query_process").exit_code == 0
        assert set(engine.retried) == {"/external-task/task-1", "/external-task/task-3"}

    def test_fails_where_an_id_names_nothing_and_still_does_the_rest(
        self, engine: Engine, command: Callable[..., Result]
    ) -> None:
        engine.incidents = [incident(1)]
        result = command("retry", "nobody", "instance-1")
        assert result.exit_code == 1
        assert "✗ nobody: nobody knows nobody" in result.stdout
        assert engine.retried

    def test_fails_where_there_is_nothing_at_all(self, engine: Engine, command: Callable[..., Result]) -> None:
        assert engine.incidents == []
        result = command("retry", "--all")
        assert result.exit_code == 1
        assert "no open incidents" in result.stderr

    def test_says_so_when_a_step_is_gone_meanwhile(self, engine: Engine, command: Callable[..., Result]) -> None:
        engine.incidents, engine.gone = [incident(1), incident(2)], {"incident-1"}
        result = command("retry", "--all", "--json")
        assert result.exit_code == 1
        gone, done = json.loads(result.stdout)
        assert "does not exist" in gone["trouble"]
        assert (done["trouble"], done["retries"]) == (None, 3)

    def test_says_so_when_only_the_model_can_end_an_incident(
        self, engine: Engine, command: Callable[..., Result]
    ) -> None:
        engine.incidents = [incident(1, kind="ownKind", topic=None)]
        result = command("retry", "instance-1")
        assert result.exit_code == 1
        assert "cannot be retried" in result.stdout

    @pytest.mark.parametrize(
        "arguments", [(), ("--process", "a"), ("instance-1", "--all"), ("instance-1", "--process", "a")]
    )
    def test_is_not_guessed_at(self, engine: Engine, command: Callable[..., Result], arguments: Sequence[str]) -> None:
        result = command("retry", *arguments)
        assert isinstance(result.exception, UsageError)
        assert engine.retried == {}


class TestOneLine:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [("a\nb\tc", "a b c"), ("\x1b[1;31mred\x1b[0m", "red"), ("  much   room ", "much room"), ("ü ✓ 漢", "ü ✓ 漢")],
    )
    def test_keeps_words_and_nothing_else(self, text: str, shown: str) -> None:
        assert one_line(text) == shown
