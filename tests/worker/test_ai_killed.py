"""A worker that dies after an answer was paid for: the next one has it without asking again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from procos.queues import Queue
from tests.scripted_provider import scripted_provider
from tests.services import wait_until
from tests.worker.nodes import WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView
    from tests.scripted_provider import ScriptedProvider
    from tests.services import Service


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with scripted_provider() as server:
        yield server


@pytest.fixture
def worker(
    rabbitmq: Service, redis_server: Service, provider: ScriptedProvider, broker: BrokerView, tmp_path: Path
) -> Iterator[WorkerContainer]:
    broker.declare()
    settings = {"PROCOS_OPENAI_API_KEY": "any", "PROCOS_OPENAI_BASE_URL": provider.url, "PROCOS_OPENAI_MODEL": "m"}
    container = WorkerContainer(
        ["-Q", "ai"], {**rabbitmq.environment, **redis_server.environment, **settings}, tmp_path
    )
    container.start()
    yield container
    container.teardown()


class TestKilledWorker:
    def test_costs_no_second_paid_call(
        self,
        worker: WorkerContainer,
        provider: ScriptedProvider,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        tmp_path: Path,
    ) -> None:
        effects = tmp_path / "effects"
        send("sample_ask", question="six times seven?", effects_file=str(effects), seconds=60)
        wait_until(effects.exists, 30, what="the answer is there")
        worker.kill()
        worker.start()
        callback: Any = broker.take(Queue.CALLBACKS, 60)
        assert callback.headers["task"] == "procos.complete"
        assert effects.read_text().split() == ["answered", "kept"]
        assert len(provider.asked) == 1
