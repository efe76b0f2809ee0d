"""One run of a task, as the worker would make it, without Redis and without a heartbeat."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import tasks.task
from procos.domain.dispatch import Dispatch
from procos.settings import load_settings
from procos.testing import dispatch_ref
from tasks.starts import Start
from tests.unit.tasks_core.one_run import ROUTE, Beating, Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.mapping import OutputMapping


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> dict[str, Start]:
    """What the ledger says to a start."""
    said = {"says": Start.RUN}
    monkeypatch.setattr(tasks.task, "note_start", lambda *_, **__: said["says"])
    return said


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> Beating:
    """What the heartbeat was told to show."""
    beating = Beating()
    monkeypatch.setattr(tasks.task, "heartbeat", lambda _: beating)
    return beating


@pytest.fixture
def delivery() -> dict[str, object]:
    """What the broker says of the message."""
    return {"redelivered": False}


@pytest.fixture
def run(
    start: dict[str, Start],  # noqa: ARG001  # no Redis in unit tests
    beating: Beating,  # noqa: ARG001  # nor a heartbeat
    delivery: dict[str, object],
) -> Callable[..., Any]:
    """Run a function as the worker would; returns what travels."""
    settings = load_settings({"PROCOS_WORKER_TIME_LIMIT": "60"}, dotenv=None)
    celery_task = SimpleNamespace(
        app=SimpleNamespace(conf=SimpleNamespace(procos=settings)),
        request=SimpleNamespace(id="celery-id", hostname="worker@host", delivery_info=delivery),
    )

    def run_one(
        function: Callable[..., Any],
        *,
        takes_context: bool = False,
        mapping: OutputMapping | None = None,
        **variables: object,
    ) -> Any:
        dispatch = Dispatch(ref=dispatch_ref(), variables=variables, business_key="order 1", mapping=mapping)
        return tasks.task._run(
            function, Question, ROUTE, takes_context=takes_context, task=celery_task, kwargs=dispatch.to_kwargs()
        )

    return run_one
