from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from click.testing import CliRunner

from procos.cli import stack
from procos.domain.errors import PartFailedError, UnreachableError, UsageError
from procos.kernel.stack import Failure, PartReport, Phase, StackState, Status, waiting
from procos.kernel.state import StackFolder
from procos.kernel.work_view import Work

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackFolder:
    monkeypatch.chdir(tmp_path)
    folder = StackFolder(tmp_path / ".procos")
    folder.create()
    return folder


def run(*arguments: str) -> Any:
    name, *rest = arguments
    return CliRunner().invoke(getattr(stack, name), rest)


@pytest.fixture
def state(fakes: Any) -> StackState:
    part = waiting(fakes.part(), now=0.0)
    return StackState(
        pid=os.getpid(), created=psutil.Process().create_time(), phase=Phase.READY, parts=(part,)
    ).with_report(PartReport(name="redis", status=Status.HEALTHY), now=time.time())


@pytest.mark.usefixtures("here")
class TestStatus:
    def test_says_how_to_start_a_stack_that_does_not_run(self) -> None:
        result = run("status")

        assert (result.exit_code, result.output) == (3, "not running; start it with `procos up`\n")

    def test_says_why_the_last_start_failed(self, here: StackFolder) -> None:
        failure = Failure(part="redis", reason="ended with code 1")
        here.save_state(StackState(pid=1, created=1.0, phase=Phase.FAILED, failure=failure))

        assert run("status").output == "not running, redis ended with code 1; start it with `procos up`\n"

    def test_says_to_programs_that_nothing_runs_even_after_a_kill(self, here: StackFolder, state: StackState) -> None:
        here.save_state(state)

        result = run("status", "--json")

        assert result.exit_code == 3
        assert json.loads(result.output)["running"] is False

    def test_succeeds_when_every_part_is_healthy(
        self, here: StackFolder, state: StackState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stack, "work_of", lambda *_: Work())
        here.save_state(state)
        with here.locked():
            result = run("status", "--json")

        assert result.exit_code == 0
        assert json.loads(result.output)["parts"][0]["healthy"] is True

    def test_fails_when_a_part_is_not_healthy(
        self, here: StackFolder, state: StackState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stack, "work_of", lambda *_: Work())
        here.save_state(state.with_report(PartReport(name="redis", status=Status.RESTARTING), now=1.0))
        with here.locked():
            assert run("status").exit_code == 3


@pytest.mark.usefixtures("here")
class TestUp:
    def test_says_that_it_runs_already_and_where(self, here: StackFolder, state: StackState) -> None:
        here.save_state(state)
        with here.locked():
            result = run("up", "--only", "redis")

        assert result.exit_code == 0
        assert "running already" in result.output
        assert "test://redis" in result.output

    def test_takes_several_parts_after_one_option(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Any] = []
        monkeypatch.setattr(stack, "_supervise", lambda *arguments, **_: asked.append(arguments[2]))

        run("up", "--only", "broker", "redis")

        assert asked == [("broker", "redis")]

    def test_refuses_a_word_it_has_no_use_for(self) -> None:
        assert isinstance(run("up", "everything").exception, UsageError)

    def test_refuses_a_wrong_choice_before_it_touches_anything(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PROCOS_STATE_DIRECTORY", str(tmp_path / "other"))

        assert isinstance(run("up", "--detach", "--only", "worker-ai").exception, UsageError)
        assert not (tmp_path / "other").exists()

    def test_shows_the_end_of_the_log_of_a_part_that_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        failure = Failure(part="redis", reason="ended with code 1", log_tail="cannot open its data", log="redis.log")
        monkeypatch.setattr(stack, "run_stack", lambda *_, **__: failure)

        result = run("up", "--only", "redis")

        assert "the end of redis.log:\ncannot open its data" in result.output
        assert isinstance(result.exception, PartFailedError)

    def test_ends_as_the_part_ended(self) -> None:
        failure = Failure(part="engine", reason="ended with code 2", exit_code=2)

        with pytest.raises(PartFailedError) as caught:
            stack._fail(failure)
        assert caught.value.exit_code == 2

    def test_tells_a_part_elsewhere_from_one_of_its_own(self) -> None:
        failure = Failure(part="redis", reason="connection refused", address="redis://far/0", is_unreachable=True)

        with pytest.raises(UnreachableError, match="redis://far/0 cannot be reached: connection refused") as caught:
            stack._fail(failure)
        assert caught.value.exit_code == 3


@pytest.mark.usefixtures("here")
class TestDown:
    def test_is_content_where_nothing_runs(self) -> None:
        result = run("down")

        assert (result.exit_code, result.output) == (0, "not running\n")

    def test_is_content_where_there_was_never_a_stack(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        assert run("down").exit_code == 0
