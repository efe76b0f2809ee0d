from __future__ import annotations

import signal
import subprocess
from dataclasses import replace
from typing import Any

import psutil

from procos.kernel.leftovers import end_leftovers
from procos.kernel.stack import StackState, waiting


class TestEndLeftovers:
    def test_ends_only_the_very_process_that_was_noted(self, fakes: Any) -> None:
        with subprocess.Popen(["sleep", "60"], start_new_session=True) as ours:
            created = psutil.Process(ours.pid).create_time()
            noted = replace(waiting(fakes.part(), now=0.0), pid=ours.pid, created=created)
            other = replace(noted, created=1000.0)

            assert end_leftovers(StackState(pid=1, created=1.0, parts=(other,))) == []
            assert ours.poll() is None
            assert end_leftovers(StackState(pid=1, created=1.0, parts=(noted,))) == ["redis"]
            assert ours.wait(4) == -signal.SIGTERM

    def test_finds_nothing_where_nothing_is_known(self, fakes: Any) -> None:
        never_started = waiting(fakes.part(), now=0.0)

        assert end_leftovers(None) == []
        assert end_leftovers(StackState(pid=1, created=1.0, parts=(never_started,))) == []
