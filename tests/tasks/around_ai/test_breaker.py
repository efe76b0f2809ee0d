"""The breaker while Redis is away; the rest of it is in the contract tests."""

from __future__ import annotations

from structlog.testing import capture_logs

from procos.domain.errors import TransientError
from tasks.ai.breaker import Breakers
from tests.ai_samples import REDIS_AWAY, HealthyOrNot


class TestWithoutRedis:
    def test_lets_every_provider_be_asked_and_says_so_once(self) -> None:
        breakers, provider = Breakers(REDIS_AWAY, failures=1), HealthyOrNot("it is ill")
        with capture_logs() as logs:
            for _ in range(3):
                breakers.refuse_if_open(provider)
                breakers.note(provider, TransientError("broken", code="PROVIDER_FAILED"))
            assert breakers.state("mistral") == "closed"
        assert [(entry["event"], entry["part"]) for entry in logs] == [("ai.without_redis", "breaker")]
        assert provider.checks == 0
