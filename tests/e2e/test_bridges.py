"""More than one bridge, and the end of one: ids are unique, and a bridge that is drained leaves nothing in flight."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

USAGE = 2
SECONDS = {"value": 3.0, "type": "Double"}


class TestReplicaId:
    def test_that_another_bridge_has_is_refused(self, stack: Any) -> None:
        done = stack.procos("bridge", PROCOS_BRIDGE_REPLICA_ID=socket.gethostname(), PROCOS_BRIDGE_HEALTH_PORT="0")
        assert done.returncode == USAGE
        assert "another bridge runs under the replica id" in done.stderr
        assert "PROCOS_BRIDGE_REPLICA_ID" in done.stderr


class TestDrain:
    def test_ends_when_nothing_is_in_flight(self, stack: Any) -> None:
        ids = [stack.start("sample_sleep", seconds=SECONDS) for _ in range(3)]
        done = stack.procos("bridge", "--drain", PROCOS_BRIDGE_REPLICA_ID="drain", PROCOS_BRIDGE_HEALTH_PORT="0")
        assert done.returncode == 0, done.stderr
        assert "bridge.drained" in done.stderr
        assert stack.finished(ids) == 3


class TestStop:
    @pytest.mark.parametrize("whole_group", [False, True], ids=["to the process", "to the group"])
    def test_by_a_signal_costs_no_run_and_no_result(
        self,
        stack: Any,
        tmp_path: Path,
        eventually: Callable[..., None],
        whole_group: bool,  # noqa: FBT001  # parametrised
    ) -> None:
        """A second bridge takes part in the work, and is asked to end in the middle of it."""
        environment = {
            **stack.environment, **stack.settings,
            "PROCOS_BRIDGE_REPLICA_ID": "second", "PROCOS_BRIDGE_HEALTH_PORT": "0",
        }  # fmt: skip
        log, effects = tmp_path / "log", tmp_path / "effects"
        with log.open("wb") as file:
            bridge = subprocess.Popen(
                [sys.executable, "-m", "procos", "bridge"], env=environment, stderr=file, start_new_session=True
            )
        eventually(lambda: "bridge.ready" in log.read_text(), seconds=30, what="the bridge is ready")
        where = {"value": str(effects), "type": "String"}
        ids = [stack.start("sample_sleep", seconds=SECONDS, effects_file=where) for _ in range(20)]
        (os.killpg if whole_group else os.kill)(bridge.pid, signal.SIGTERM)
        assert bridge.wait(30) == 0
        eventually(lambda: stack.finished(ids) == 20, seconds=60, what="every instance has ended")
        assert effects.read_text().count("effect") == 20
        assert "replica.not_released" not in log.read_text()
