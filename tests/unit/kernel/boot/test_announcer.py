from __future__ import annotations

from typing import TYPE_CHECKING

from procos.kernel.boot.announcer import Announcer
from procos.kernel.boot.phases import BootPhase, PhaseDone

if TYPE_CHECKING:
    import pytest


class TestAnnouncer:
    def test_prints_a_line_for_each_phase(self, capsys: pytest.CaptureFixture[str]) -> None:
        announcer = Announcer()
        announcer.over(PhaseDone(phase=BootPhase.MODELS, seconds=0.42, outcome="4 models, none has changed"))
        announcer.over(PhaseDone(phase=BootPhase.ORCHESTRATOR, seconds=1.0, outcome="refused", has_failed=True))
        announcer.watches("the engine")

        assert [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()] == [
            "kernel 4/6 deploy the root models done 0.4 s 4 models, none has changed",
            "kernel 5/6 start procos_system_orchestrator failed 1.0 s refused",
            "kernel 6/6 monitor begun the engine",
        ]

    def test_says_what_is_waited_for_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        announcer = Announcer()
        for trouble in ("broker: refused", "broker: refused", "Redis: loading"):
            announcer.waits(BootPhase.ENVIRONMENT, trouble)

        said = capsys.readouterr().err
        assert (said.count("broker: refused"), said.count("Redis: loading")) == (1, 1)

    def test_shows_the_end_of_a_log(self, capsys: pytest.CaptureFixture[str]) -> None:
        Announcer().happened("the engine was killed by SIGKILL", "the end of engine.log:\nout of memory")

        assert capsys.readouterr().err == (
            "kernel: the engine was killed by SIGKILL\nthe end of engine.log:\nout of memory\n"
        )
