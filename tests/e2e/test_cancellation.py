"""A step that ends without its task is noticed within seconds, and its task is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests

from procos import ledger_keys as keys
from tests.local_stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOUND_SECONDS = 5
SLACK_SECONDS = 3
"""For a loaded machine; the figure itself is what `python -m tests.chaos` and the docs state."""
NEVER, SOON = "PT1H", "PT3S"
TIMER_SECONDS = 60
"""The engine looks for due timers every few seconds."""


def delete(stack: Any, instance_id: str) -> None:
    requests.delete(f"{stack.rest}/process-instance/{instance_id}", timeout=20).raise_for_status()


def modify(stack: Any, instance_id: str) -> None:
    body = {
        "instructions": [{"type": "cancel", "activityId": "step"}, {"type": "startBeforeActivity", "activityId": "end"}]
    }
    answer = requests.post(f"{stack.rest}/process-instance/{instance_id}/modification", json=body, timeout=20)
    answer.raise_for_status()


def wait_for_the_timer(stack: Any, instance_id: str) -> None:
    wait_until(
        lambda: bool(stack.history(instance_id).get("endTime")), seconds=TIMER_SECONDS, what="the timer has fired"
    )


CAUSES: dict[str, tuple[str, Callable[[Any, str], None]]] = {
    "instance deleted": (NEVER, delete),
    "instance modified": (NEVER, modify),
    "boundary timer fired": (SOON, wait_for_the_timer),
}


class TestCancelledStep:
    @pytest.mark.parametrize("cause", CAUSES)
    def test_is_found_and_its_task_is_told(
        self, stack: Any, tmp_path: Path, eventually: Callable[..., None], cause: str
    ) -> None:
        timeout, end = CAUSES[cause]
        effects = tmp_path / "effects"
        instance_id = stack.start(
            "sample_wait",
            seconds={"value": 60.0, "type": "Double"},
            timeout={"value": timeout, "type": "String"},
            effects_file={"value": str(effects), "type": "String"},
        )
        eventually(effects.exists, seconds=20, what="the task has started")
        external_task_id = effects.read_text().split()[1]
        end(stack, instance_id)
        ledger = redis.Redis.from_url(stack.settings["PROCOS_REDIS_URL"])
        eventually(
            lambda: bool(ledger.exists(keys.cancelled(external_task_id))),
            seconds=FOUND_SECONDS + SLACK_SECONDS,
            what="the step is marked as cancelled",
        )
        eventually(lambda: "told" in effects.read_text(), seconds=2 + SLACK_SECONDS, what="the task is told")
        assert not ledger.exists(keys.entry(external_task_id))
        assert "effect" not in effects.read_text()
