"""Four AI workers as users start them, and one provider: they keep its limits, the budget and the breaker together."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from procos.queues import Queue
from procos.settings import load_settings
from procos.task_messages import FAIL
from tasks.ai.breaker import FAILURES
from tasks.ai.limits import PATIENCE_SECONDS, SHARE
from tasks.store import client
from tests.broker_view import BrokerView
from tests.scripted_provider import scripted_provider
from tests.worker.nodes import WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from procos.domain.dispatch import DispatchRef
    from procos.settings import Settings
    from tests.scripted_provider import ScriptedProvider
    from tests.services import Service

    Asking = Callable[..., Sequence[Mapping[str, Any]]]

WORKERS = 4
STEPS = 40
END_SECONDS = 30
AT_ONCE = 3
PER_MINUTE = 10
SPACING_SECONDS = 60 / (PER_MINUTE * SHARE)
ANSWER_TOKENS = 10
DAY_DOLLARS, RESERVED_DOLLARS, ANSWER_DOLLARS = 1.0, 0.10, 0.05
"""A cent a token: ten are set aside, and an answer of the script has five."""
LIMITS = {
    "narrow": {"AT_ONCE": str(AT_ONCE)},
    "slow": {"REQUESTS_PER_MINUTE": str(PER_MINUTE)},
    "dear": {"OUTPUT_PRICE": "10000"},
    "faulty": {},
}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedProvider]:
    with scripted_provider() as running:
        yield running


@pytest.fixture
def provider(server: ScriptedProvider) -> ScriptedProvider:
    """A provider that nobody has asked yet."""
    server.asked.clear()
    server.at_once.clear()
    return server


@pytest.fixture(scope="module")
def workers(
    rabbitmq: Service, redis_server: Service, server: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[WorkerContainer]]:
    services = {**rabbitmq.environment, **redis_server.environment}
    settings = load_settings(services, dotenv=None)
    client(settings.redis.url).flushdb()  # what others spent today
    view = BrokerView(settings.broker)
    view.empty()
    view.declare()
    environment = {**services, "PROCOS_AI_BUDGET_DAY": str(DAY_DOLLARS)}
    for name, limits in LIMITS.items():
        fields = {"URL": server.url, "MODEL": "m", "INPUT_PRICE": "0", "OUTPUT_PRICE": "0", **limits}
        environment |= {f"PROCOS_PROVIDERS__{name.upper()}__{field}": value for field, value in fields.items()}
    containers = [WorkerContainer(["-Q", "ai"], environment, tmp_path_factory.mktemp("ai")) for _ in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(WorkerContainer.start, containers))
    yield containers
    for container in containers:
        container.teardown()


@pytest.fixture
def ask(workers: Sequence[WorkerContainer], send: Callable[..., DispatchRef], settings: Settings) -> Asking:
    """Send so many steps at once; return the envelope of how each ended."""
    view = BrokerView(settings.broker)

    def run(provider: str, question: str, steps: int = STEPS) -> Sequence[Mapping[str, Any]]:
        for _ in range(steps):
            send("ai_query", provider=provider, user_query=question, max_tokens=ANSWER_TOKENS)
        envelopes = [_envelope(view.take(Queue.CALLBACKS, END_SECONDS)) for _ in range(steps)]
        assert [worker.status for worker in workers] == ["running"] * WORKERS
        return envelopes

    return run


def _envelope(message: Any) -> Mapping[str, Any]:
    if message.headers["task"] == FAIL:
        return {"kind": "failure"}  # whose words are in the stored result
    ((envelope,), _, _) = json.loads(message.body)
    assert isinstance(envelope, dict)
    return envelope


def _kinds(envelopes: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    return Counter(envelope["kind"] for envelope in envelopes)


class TestFourWorkers:
    def test_have_no_more_requests_open_than_the_provider_takes_at_once(
        self, ask: Asking, provider: ScriptedProvider, workers: Sequence[WorkerContainer]
    ) -> None:
        ends = _kinds(ask("narrow", "slowly, please"))
        assert max(provider.at_once) == AT_ONCE
        assert ends["completion"] == len(provider.asked) >= AT_ONCE
        assert ends["completion"] + ends["postponement"] == STEPS
        assert all("procos.ai_query" in worker.logs() for worker in workers)

    def test_ask_at_the_rate_of_one_and_promise_each_step_a_moment_of_its_own(
        self, ask: Asking, provider: ScriptedProvider
    ) -> None:
        began = time.monotonic()
        ends = ask("slow", "six times seven?")
        seconds = time.monotonic() - began + PATIENCE_SECONDS
        moments = sorted(end["retry_in"] for end in ends if end["kind"] == "postponement")
        assert 1 <= len(provider.asked) <= 1 + seconds / SPACING_SECONDS
        assert len(moments) == STEPS - len(provider.asked)
        # Each step says how long from when it asked; they did so within the few seconds that this took.
        assert moments[-1] - moments[0] == pytest.approx(SPACING_SECONDS * (len(moments) - 1), abs=SPACING_SECONDS)

    def test_spend_no_more_than_the_budget_of_the_day(self, ask: Asking, provider: ScriptedProvider) -> None:
        ends = ask("dear", "slowly, please")
        refused = [end["code"] for end in ends if end["kind"] == "bpmn_error"]
        assert set(refused) == {"BUDGET_EXCEEDED"}
        assert _kinds(ends)["completion"] == len(provider.asked) == STEPS - len(refused)
        assert DAY_DOLLARS / RESERVED_DOLLARS <= len(provider.asked) <= DAY_DOLLARS / ANSWER_DOLLARS

    def test_leave_a_provider_alone_that_failed_for_any_of_them(self, ask: Asking, provider: ScriptedProvider) -> None:
        assert _kinds(ask("faulty", "broken", FAILURES)) == {"failure": FAILURES}
        assert len(provider.asked) == FAILURES
        assert _kinds(ask("faulty", "broken")) == {"failure": STEPS}
        assert len(provider.asked) == FAILURES
