"""A bridge whose services are away says so, with the cure, and waits; it stops when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AWAY = {
    "engine": ("PROCOS_ENGINE_URL", "http://127.0.0.1:9", "engine.unreachable"),
    "redis": ("PROCOS_REDIS_URL", "redis://127.0.0.1:9/0", "redis.unreachable"),
    "broker": ("PROCOS_BROKER_URL", "amqp://guest:guest@127.0.0.1:9//", "callbacks.connection_lost"),
}


class TestBridgeStart:
    @pytest.mark.parametrize("part", AWAY)
    def test_waits_for_a_service_that_is_away_and_names_the_setting(
        self, stack: Any, tmp_path: Path, eventually: Callable[..., None], part: str
    ) -> None:
        setting, address, event = AWAY[part]
        environment = {
            **stack.environment, **stack.settings, "PROCOS_BRIDGE_REPLICA_ID": f"without-{part}", setting: address,
        }  # fmt: skip
        log = tmp_path / "log"
        with log.open("wb") as file:
            bridge = subprocess.Popen([sys.executable, "-m", "procos", "bridge"], env=environment, stderr=file)
        try:
            eventually(lambda: event in log.read_text(), seconds=30, what=f"{event} in the log")
            assert setting in log.read_text()
            assert bridge.poll() is None
        finally:
            os.kill(bridge.pid, signal.SIGTERM)
            code = bridge.wait(30)
        assert code == 0
