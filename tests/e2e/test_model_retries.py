"""What a model says of retries is what the engine shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TestRetriesOfAModel:
    def test_are_its_intervals_as_written(self, stack: Any, tmp_path: Path, eventually: Callable[..., None]) -> None:
        effects = tmp_path / "effects"
        instance_id = stack.start(
            "sample_retry_config",
            error={"value": "transient", "type": "String"},
            effects_file={"value": str(effects), "type": "String"},
        )

        def task() -> dict[str, Any]:
            query = {"processInstanceId": instance_id}
            return dict(requests.get(f"{stack.rest}/external-task", params=query, timeout=20).json()[0])

        eventually(lambda: task()["retries"] == 1, seconds=30, what="two of three tries are used up")
        due = datetime.strptime(task()["lockExpirationTime"], "%Y-%m-%dT%H:%M:%S.%f%z") - datetime.now(UTC)
        assert timedelta(minutes=55) < due <= timedelta(hours=1)
        assert effects.read_text().count("start") == 2
        details = requests.get(f"{stack.rest}/external-task/{task()['id']}/errorDetails", timeout=20).text
        assert f"Celery task {task()['id']}." in details
        assert "worker-generic@" in details

    def test_that_cannot_be_read_are_refused_at_the_deployment(self, stack: Any, tmp_path: Path) -> None:
        source = (stack_models() / "sample_retry_config.bpmn").read_text()
        model = tmp_path / "model.bpmn"
        model.write_text(source.replace("PT1S,PT1H", "soon"))
        done = stack.procos("deploy", str(model))
        assert done.returncode == 2
        assert "model.bpmn:7" in done.stderr
        assert "RETRY_CONFIG 'soon' is not a duration" in done.stderr


def stack_models() -> Path:
    from tests.local_stack import SAMPLES

    return SAMPLES / "models"
