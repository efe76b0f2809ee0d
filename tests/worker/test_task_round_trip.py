"""A dispatch goes to a worker of its own process and comes back by the callbacks, however it ends."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bridge.outcomes import read_callback
from procos.domain.outcome import BpmnError, Completion, Failure
from procos.queues import Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_celery import CeleryTestSetup

    from bridge.ledger import Ledger
    from bridge.outcomes import Callback
    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView


@pytest.fixture
def worker_arguments() -> list[str]:
    return ["-Q", "generic", "-c", "1"]


@pytest.fixture
def next_callback(broker: BrokerView, ledger: Ledger) -> Callable[[], Callback]:
    def take() -> Callback:
        raw = broker.take(Queue.CALLBACKS, 20)
        body = raw.body.encode() if isinstance(raw.body, str) else raw.body
        message: Any = SimpleNamespace(headers=raw.headers, body=body, decode=lambda: json.loads(body))
        return read_callback(message, ledger)

    return take


class TestWorker:
    def test_returns_the_result_of_a_task(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        next_callback: Callable[[], Callback],
    ) -> None:
        assert celery_setup.ready(control=True)
        ref = send("sample_values", text="naïve", number=2**40, nothing=None, nested={"a": [1]})
        callback = next_callback()
        assert callback.ref == ref
        assert callback.outcome == Completion(
            variables={"text_back": "naïve", "number_back": 2**40, "nothing_back": None, "nested_back": {"a": [1]}}
        )
        celery_setup.worker.assert_log_exists("task.ended")

    def test_never_logs_the_contents_of_variables(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        next_callback: Callable[[], Callback],
    ) -> None:
        send("sample_values", password="hunter2")
        next_callback()
        celery_setup.worker.assert_log_exists("succeeded")
        assert "hunter2" not in celery_setup.worker.logs()

    @pytest.mark.parametrize(
        ("error", "kind", "code"),
        [
            ("business", BpmnError, "OUT_OF_STOCK"),
            ("permanent", Failure, "PERMANENT"),
            ("transient", Failure, "TRANSIENT"),
            ("nan", Failure, "VARIABLE"),
        ],
    )
    def test_tells_how_a_task_failed(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        next_callback: Callable[[], Callback],
        tmp_path: Path,
        error: str,
        kind: type[BpmnError | Failure],
        code: str,
    ) -> None:
        assert celery_setup.worker
        ref = send("sample_fail", error=error, effects_file=str(tmp_path / "effects"))
        callback = next_callback()
        assert callback.ref == ref
        assert isinstance(callback.outcome, kind)
        assert callback.outcome.code == code

    def test_names_the_variable_that_is_missing(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        next_callback: Callable[[], Callback],
    ) -> None:
        assert celery_setup.worker
        send("sample_fail")
        outcome = next_callback().outcome
        assert isinstance(outcome, BpmnError)
        assert (outcome.code, "effects_file" in outcome.message) == ("INVALID_INPUT", True)

    def test_gives_up_a_task_that_kills_its_process(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        next_callback: Callable[[], Callback],
        tmp_path: Path,
    ) -> None:
        assert celery_setup.worker
        effects = tmp_path / "effects"
        send("sample_fail", error="exit", effects_file=str(effects))
        outcome = next_callback().outcome
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.permanent) == ("STARTED_TOO_OFTEN", True)
        assert effects.read_text().count("start") == 3
