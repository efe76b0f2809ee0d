"""A question to a real model whose step is cancelled half-way: the worker lets go, and the model is free again."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import requests

from procos.kernel.local_model import CURE, find_weights
from procos.kernel.parts.environment import service_environment
from procos.queues import Queue
from tests.availability import require
from tests.services import wait_until
from tests.worker.nodes import ROOT, WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.ledger import Ledger
    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView
    from tests.services import Service

STOPPED_SECONDS = 2.0
SLOTS = 2


@dataclass(frozen=True, slots=True)
class Model:
    """The local model, as a server of its own."""

    url: str

    def working(self) -> int:
        """Count the questions it is answering."""
        text = requests.get(self.url.removesuffix("/v1") + "/metrics", timeout=5).text
        (line,) = [line for line in text.splitlines() if line.startswith("llamacpp:requests_processing ")]
        return int(float(line.split()[1]))


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    if find_weights() is None or importlib.util.find_spec("xllamacpp") is None:
        require(CURE)
    with subprocess.Popen(
        [sys.executable, "-m", "procos.kernel.local_model"],
        env=service_environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield Model(json.loads(server.stdout.readline())["url"])
        server.terminate()
        server.wait(10)


@pytest.fixture
def worker(
    rabbitmq: Service, redis_server: Service, model: Model, broker: BrokerView, tmp_path: Path
) -> Iterator[WorkerContainer]:
    broker.declare()
    provider = {"PROCOS_OPENAI_API_KEY": "any", "PROCOS_OPENAI_BASE_URL": model.url, "PROCOS_OPENAI_MODEL": "smollm2"}
    environment = {**rabbitmq.environment, **redis_server.environment, **provider}
    container = WorkerContainer(["-Q", "ai"], environment, tmp_path)
    container.start()
    yield container
    container.teardown()


class TestCancelledQuery:
    def test_ends_within_two_seconds_and_frees_the_model(
        self,
        worker: WorkerContainer,
        model: Model,
        send: Callable[..., DispatchRef],
        ledger: Ledger,
        broker: BrokerView,
    ) -> None:
        question = {"user_query": "Tell me a very long story.", "max_tokens": 1500, "temperature": 0}
        refs = [send("ai_query", **question) for _ in range(SLOTS)]
        wait_until(lambda: model.working() == SLOTS, 30, what="the model answers")
        began = time.monotonic()
        for ref in refs:
            ledger.cancel(ref, "ai")
        wait_until(lambda: worker.logs().count("task.stopped") == SLOTS, 5, what="the worker has let go")
        wait_until(lambda: model.working() == 0, 5, what="the model is free")
        assert time.monotonic() - began < STOPPED_SECONDS
        send("ai_query", user_query="Hello?", max_tokens=5, temperature=0)
        assert "ai_response" in str(broker.take(Queue.CALLBACKS, 30).body)
        assert (broker.waiting("ai"), broker.waiting(Queue.CALLBACKS)) == (0, 0)


class TestKilledQuery:
    def test_frees_the_model_and_is_answered_by_the_next_worker(
        self, worker: WorkerContainer, model: Model, send: Callable[..., DispatchRef], broker: BrokerView
    ) -> None:
        send("ai_query", user_query="Tell me a very long story.", max_tokens=300, temperature=0)
        wait_until(lambda: model.working() == 1, 30, what="the model answers")
        worker.kill()
        wait_until(lambda: model.working() == 0, 10, what="the model is free")
        assert broker.waiting(Queue.CALLBACKS) == 0
        worker.start()
        assert "ai_response" in str(broker.take(Queue.CALLBACKS, 60).body)
