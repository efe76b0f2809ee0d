from __future__ import annotations

import io
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from procos.kernel import tables
from procos.kernel.part import Name
from procos.kernel.stack import HealthReport, PartReport, Phase, StackState, Status, waiting
from procos.kernel.terminal import Progress
from procos.kernel.work_view import QueueRow, Work


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and may be gone."""

    is_gone = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.is_gone:
            raise OSError(5, "Input/output error")
        return super().write(text)


@pytest.fixture
def starting(fakes: Any) -> StackState:
    parts = tuple(waiting(fakes.part(name), now=time.time()) for name in (Name.BROKER, Name.REDIS))
    return StackState(pid=1, created=2.0, parts=parts, warnings=("weaker",))


def healthy(state: StackState, name: str) -> StackState:
    return state.with_report(PartReport(name=name, status=Status.HEALTHY, pid=7, created=time.time()), now=time.time())


class TestProgress:
    def test_says_once_when_a_part_comes_up_and_how_long_it_took(
        self, starting: StackState, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Progress() as progress:
            for state in (starting, healthy(starting, "redis"), healthy(healthy(starting, "redis"), "broker")):
                progress.show(state)

        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == "warning: weaker"
        assert [line.split() for line in lines[1:]] == [
            ["redis", "healthy", "test://redis", "0.0", "s"],
            ["broker", "healthy", "test://broker", "0.0", "s"],
        ]

    def test_uses_neither_colours_nor_a_spinner_outside_a_terminal(
        self, starting: StackState, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Progress() as progress:
            progress.show(starting)
            progress.show(healthy(starting, "redis"))

        assert "\x1b" not in capsys.readouterr().err

    def test_says_why_a_part_is_started_again(self, starting: StackState, capsys: pytest.CaptureFixture[str]) -> None:
        died = PartReport(name="redis", status=Status.RESTARTING, reason="was killed by SIGKILL", is_restart=True)
        with Progress() as progress:
            progress.show(healthy(starting, "redis"))
            progress.show(healthy(starting, "redis").with_report(died, now=1.0))

        assert "restarting  test://redis  was killed by SIGKILL" in capsys.readouterr().err

    def test_tells_only_what_changes_of_a_stack_that_is_known(
        self, starting: StackState, capsys: pytest.CaptureFixture[str]
    ) -> None:
        up = healthy(starting, "redis")
        with Progress(known=up) as progress:
            progress.show(replace(up, warnings=()))
            progress.show(up.with_report(PartReport(name="redis", status=Status.STOPPED), now=1.0))

        assert capsys.readouterr().err.split() == ["redis", "stopped", "test://redis"]

    def test_does_not_mind_a_terminal_that_is_gone(self, starting: StackState, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with Progress() as progress:
            terminal.is_gone = True
            progress.show(starting)
            progress.show(healthy(starting, "redis"))


class TestTables:
    def test_shows_how_each_part_and_queue_is(self, starting: StackState, capsys: pytest.CaptureFixture[str]) -> None:
        ill = healthy(starting, "redis").with_report(HealthReport(name="redis", reason="no answer"), now=1.0)

        tables.print_status(
            ill, Work(queues=[QueueRow(name="ai", ready=3, consumers=0)], in_flight={"ai": 5}, incidents=2)
        )

        lines = capsys.readouterr().out.splitlines()
        assert lines[2].split() == ["redis", "unhealthy", "7", "test://redis", "0", "s", "0", "no", "answer"]
        assert lines[-3].split() == ["ai", "3", "0", "5"]
        assert lines[-1].startswith("2 incidents")

    def test_says_the_same_to_programs(self, starting: StackState) -> None:
        work = Work(queues=[QueueRow(name="ai", ready=3, consumers=1)], in_flight={"ai": 4}, incidents=0)
        document = tables.document(healthy(starting, "redis"), work)

        broker, redis = document["parts"]
        assert (document["running"], document["phase"]) == (True, "starting")
        assert (broker["healthy"], redis["healthy"], redis["pid"], redis["uptime_s"]) == (False, True, 7, 0.0)
        assert document["queues"] == [{"name": "ai", "ready": 3, "consumers": 1, "in_flight": 4, "missing": False}]
        assert document["incidents"] == 0

    def test_says_to_programs_that_nothing_runs(self) -> None:
        document = tables.document(None)

        assert (document["running"], document["phase"], document["parts"]) == (False, Phase.STOPPED, [])

    @pytest.mark.parametrize(
        ("seconds", "text"), [(5, "5 s"), (90, "1.5 min"), (3 * 3600, "3.0 h"), (2 * 86400, "2.0 d")]
    )
    def test_says_how_long_a_part_has_been_up(self, starting: StackState, seconds: int, text: str) -> None:
        assert tables.uptime(replace(starting.parts[0], created=time.time() - seconds)) == text

    def test_does_not_know_how_long_a_part_elsewhere_has_been_up(self, starting: StackState) -> None:
        assert tables.uptime(starting.parts[0]) == "-"
