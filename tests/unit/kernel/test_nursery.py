from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from procos.kernel.guard import end_groups, is_gone, noted_groups
from procos.kernel.nursery import Nursery
from procos.kernel.part import Command

if TYPE_CHECKING:
    from collections.abc import Callable

SUPERVISOR = """
import sys, time
from pathlib import Path
from procos.kernel.nursery import Nursery
from procos.kernel.part import Command
with Nursery() as nursery:
    child = nursery.spawn(
        Command(arguments=("sleep", "60"), environment={"PATH": "/usr/bin:/bin"}, directory=Path("/")),
        log=Path(sys.argv[1]))
    print(child.pid, flush=True)
    child.wait(60)
"""


def until(holds: Callable[[], bool], limit: float = 3.0) -> bool:
    deadline, pause = time.monotonic() + limit, threading.Event()
    while not holds() and time.monotonic() < deadline:
        pause.wait(0.02)
    return holds()


def shell(script: str) -> Command:
    return Command(arguments=("/bin/sh", "-c", script), environment={"PATH": "/usr/bin:/bin"}, directory=Path("/"))


class TestNursery:
    def test_runs_a_command_with_nothing_but_its_own_environment(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        with Nursery() as nursery:
            child = nursery.spawn(shell("env; echo trouble >&2; pwd; exit 3"), log=log)
            code = child.wait(4)

        words = log.read_text()
        assert code == 3
        assert "trouble\n/\n" in words
        assert "HOME=" not in words

    def test_keeps_standard_output_apart_when_asked(self, tmp_path: Path) -> None:
        with Nursery() as nursery, (tmp_path / "output").open("w+b") as output:
            nursery.spawn(shell("echo result; echo progress >&2"), log=tmp_path / "log", output=output).wait(4)
            output.seek(0)

            assert output.read() == b"result\n"
        assert (tmp_path / "log").read_text() == "progress\n"

    def test_gives_each_child_a_session_of_its_own_and_no_input(self, tmp_path: Path) -> None:
        with Nursery() as nursery:
            child = nursery.spawn(shell("exec cat"), log=tmp_path / "log")
            session = os.getsid(child.pid)
            code = child.wait(4)

        assert session == child.pid
        assert code == 0

    def test_clears_away_what_a_child_leaves_of_its_group(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        with Nursery() as nursery:
            nursery.spawn(shell("sleep 60 & echo $!"), log=log).wait(4)

            assert until(lambda: is_gone(int(log.read_text())))

    def test_knows_how_a_child_ended_that_was_asked_to(self, tmp_path: Path) -> None:
        with Nursery() as nursery:
            child = nursery.spawn(shell("exec sleep 60"), log=tmp_path / "log")
            child.terminate()

            assert child.wait(4) == -signal.SIGTERM

    def test_tells_who_listens_on_a_port(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as ours, Nursery() as nursery:
            child = nursery.spawn(shell("exec sleep 60"), log=tmp_path / "log")
            child_listens = child.listens_on(ours.getsockname()[1])
            child.kill()
            child.wait(4)

            assert not child_listens
            assert not child.listens_on(ours.getsockname()[1])

    def test_starts_another_guard_when_the_first_was_killed(self, tmp_path: Path) -> None:
        with Nursery() as nursery:
            first = nursery._guard
            assert first is not None
            first.kill()
            first.wait(4)
            child = nursery.spawn(shell("exec sleep 60"), log=tmp_path / "log")
            nursery.renew_guard()

            assert nursery._guard is not first
            child.kill()
            child.wait(4)

    def test_leaves_no_child_behind_when_the_supervisor_is_killed(self, tmp_path: Path) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
        ) as supervisor:
            assert supervisor.stdout is not None
            child = psutil.Process(int(supervisor.stdout.readline()))
            supervisor.kill()

        assert until(lambda: is_gone(child.pid))


class TestGuard:
    def test_knows_which_groups_were_begun_and_not_ended(self) -> None:
        assert noted_groups(["+11\n", "+12\n", "-11\n", "+13\n"]) == [12, 13]

    def test_takes_no_notice_of_what_it_does_not_understand(self) -> None:
        assert noted_groups(["", "+\n", "+x\n", "-5\n", "noise\n", "+7"]) == [7]

    def test_kills_a_group_that_does_not_end_when_asked(self) -> None:
        script = "trap '' TERM; echo ready; while :; do sleep 60; done"
        with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as stubborn:
            assert stubborn.stdout is not None
            stubborn.stdout.readline()

            end_groups([stubborn.pid], grace=0.1)

            assert stubborn.wait(4) == -signal.SIGKILL

    def test_takes_a_process_nobody_has_collected_for_gone(self) -> None:
        with subprocess.Popen(["true"]) as process:
            assert until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
            assert is_gone(process.pid)

    @pytest.mark.parametrize("groups", [[], [2**22 - 1]])
    def test_is_content_when_there_is_nothing_to_end(self, groups: list[int]) -> None:
        end_groups(groups, grace=0.1)
