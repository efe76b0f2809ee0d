"""Work that was done is not lost, and is not done twice, when parts die or restart under it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


LOCK_SECONDS = 20
"""As the stack of these tests is set."""


class TestSurvival:
    def test_of_an_engine_restart_runs_ten_functions_for_ten_tasks(
        self, stack: Any, eventually: Callable[..., None], tmp_path: Path
    ) -> None:
        effects = tmp_path / "effects"
        ids = [_sleep(stack, 5.0, effects) for _ in range(10)]
        eventually(lambda: _count(effects, "start") == 10, seconds=30, what="ten tasks started")
        os.kill(stack.pid("engine"), signal.SIGTERM)
        eventually(lambda: _count(effects, "effect") == 10, seconds=30, what="ten tasks done while the engine is away")
        eventually(lambda: stack.finished(ids) == 10, seconds=90, what="ten instances ended after the restart")
        assert _count(effects, "start") == 10
        assert stack.status()["engine"]["restarts"] >= 1

    def test_of_an_engine_frozen_past_the_locks_runs_every_function_once(
        self, stack: Any, eventually: Callable[..., None], tmp_path: Path
    ) -> None:
        """Whether the late extension or the next fetch comes first when the engine thaws is chance; both must hold."""
        effects = tmp_path / "effects"
        ids = [_sleep(stack, LOCK_SECONDS + 10.0, effects) for _ in range(4)]
        eventually(lambda: _count(effects, "start") == 4, seconds=30, what="four tasks started")
        engine = stack.pid("engine")
        os.kill(engine, signal.SIGSTOP)
        try:
            time.sleep(LOCK_SECONDS + 4)
        finally:
            os.kill(engine, signal.SIGCONT)
        eventually(lambda: stack.finished(ids) == 4, seconds=60, what="four instances ended")
        assert _count(effects, "start") == 4

    def test_of_a_killed_ai_worker_brings_every_instance_to_its_end(
        self, stack: Any, eventually: Callable[..., None], tmp_path: Path
    ) -> None:
        effects = tmp_path / "effects"
        ids = [_sleep(stack, 2.0, effects) for _ in range(4)]
        eventually(lambda: _count(effects, "start") == 4, seconds=30, what="four tasks started")
        os.kill(stack.pid("worker-ai"), signal.SIGKILL)
        eventually(lambda: stack.finished(ids) == 4, seconds=60, what="four instances ended")
        assert _count(effects, "effect") >= 4
        assert _count(effects, "start") <= 8

    def test_of_a_killed_bridge_loses_nothing_and_repeats_nothing(
        self, stack: Any, eventually: Callable[..., None], tmp_path: Path
    ) -> None:
        effects = tmp_path / "effects"
        ids = [_sleep(stack, 3.0, effects) for _ in range(4)]
        eventually(lambda: _count(effects, "start") == 4, seconds=30, what="four tasks started")
        os.kill(stack.pid("bridge"), signal.SIGKILL)
        eventually(lambda: stack.finished(ids) == 4, seconds=60, what="four instances ended")
        assert _count(effects, "start") == 4

    def test_of_a_killed_broker_brings_every_instance_to_its_end(
        self, stack: Any, eventually: Callable[..., None], tmp_path: Path
    ) -> None:
        effects = tmp_path / "effects"
        ids = [_sleep(stack, 2.0, effects) for _ in range(4)]
        eventually(lambda: _count(effects, "start") == 4, seconds=30, what="four tasks started")
        os.kill(stack.pid("broker"), signal.SIGKILL)
        eventually(lambda: stack.finished(ids) == 4, seconds=120, what="four instances ended")
        assert _count(effects, "start") <= 8

    def test_of_a_killed_redis_brings_every_instance_to_its_end(
        self, stack: Any, eventually: Callable[..., None], tmp_path: Path
    ) -> None:
        effects = tmp_path / "effects"
        ids = [_sleep(stack, 2.0, effects) for _ in range(4)]
        eventually(lambda: _count(effects, "start") == 4, seconds=30, what="four tasks started")
        os.kill(stack.pid("redis"), signal.SIGKILL)
        eventually(lambda: stack.finished(ids) == 4, seconds=120, what="four instances ended")
        assert _count(effects, "effect") >= 4
        assert _count(effects, "start") <= 8


def _sleep(stack: Any, seconds: float, effects: Path) -> str:
    return str(
        stack.start(
            "sample_sleep",
            seconds={"type": "Double", "value": seconds},
            effects_file={"type": "String", "value": str(effects)},
        )
    )


def _count(effects: Path, word: str) -> int:
    return sum(line.startswith(word) for line in effects.read_text().splitlines()) if effects.exists() else 0
