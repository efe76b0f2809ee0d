"""Health and metrics of a bridge beside real services, and beside none at all."""

from __future__ import annotations

import json
import socket
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from bridge.heartbeats import Heartbeats
from bridge.observation import observed
from procos.domain.errors import SettingsError
from procos.ledger_keys import HOLDERS, leases, replica
from procos.settings import load_settings
from tests.conftest import ENGINE_PASSWORD, ENGINE_USER

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis

    from procos.settings import Settings
    from tests.services import Service

NOWHERE = "127.0.0.1:1"
AWAY = {
    "PROCOS_ENGINE_URL": f"http://{NOWHERE}/engine-rest",
    "PROCOS_BROKER_URL": f"amqp://guest:guest@{NOWHERE}//",
    "PROCOS_REDIS_URL": f"redis://{NOWHERE}/0",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def settings(environment: Mapping[str, str], port: int) -> Settings:
    return load_settings({**environment, "PROCOS_BRIDGE_HEALTH_PORT": str(port)}, dotenv=None)


def ask(port: int, page: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def ready(port: int) -> tuple[int, dict[str, Any]]:
    status, body = ask(port, "readyz")
    return status, dict(json.loads(body))


@pytest.fixture
def real(engine_server: Service, rabbitmq: Service, redis_server: Service) -> Mapping[str, str]:
    environment = {"PROCOS_ENGINE_USER": ENGINE_USER, "PROCOS_ENGINE_PASSWORD": ENGINE_PASSWORD}
    for service in (engine_server, rabbitmq, redis_server):
        environment |= service.environment
    return environment


class TestObserved:
    def test_is_ready_beside_all_services(self, real: Mapping[str, str]) -> None:
        port = free_port()
        with observed(settings(real, port), Heartbeats()):
            assert ready(port) == (200, {"status": "ready", "engine": "ok", "broker": "ok", "redis": "ok"})

    def test_shows_the_backlog_of_every_topic(self, real: Mapping[str, str]) -> None:
        port = free_port()
        with observed(settings(real, port), Heartbeats()):
            status, text = ask(port, "metrics")
        assert status == 200
        assert 'procos_external_tasks{state="open",topic="ai_query"} ' in text

    def test_names_credentials_the_engine_refuses(self, real: Mapping[str, str]) -> None:
        port = free_port()
        with observed(settings({**real, "PROCOS_ENGINE_PASSWORD": "wrong"}, port), Heartbeats()):
            status, findings = ready(port)
        assert status == 503
        assert "PROCOS_ENGINE_USER" in findings["engine"]
        assert (findings["broker"], findings["redis"]) == ("ok", "ok")

    def test_lives_and_is_scraped_but_is_not_ready_beside_none(self) -> None:
        port = free_port()
        with observed(settings(AWAY, port), Heartbeats()):
            began = time.monotonic()
            assert ask(port, "livez")[0] == 200
            assert ask(port, "metrics")[0] == 200
            status, findings = ready(port)
            assert time.monotonic() - began < 6
        assert status == 503
        assert {name: "cannot be reached" in findings[name] for name in ("engine", "redis")} == {
            "engine": True, "redis": True,
        }  # fmt: skip
        assert findings["broker"] != "ok"
        assert "guest:guest" not in json.dumps(findings)

    def test_answers_within_seconds_beside_services_that_are_frozen(self) -> None:
        port = free_port()
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(50)
            frozen = f"127.0.0.1:{silent.getsockname()[1]}"
            environment = {name: address.replace(NOWHERE, frozen) for name, address in AWAY.items()}
            with observed(settings(environment, port), Heartbeats()):
                for page, expected in {"livez": 200, "readyz": 503, "metrics": 200}.items():
                    began = time.monotonic()
                    assert ask(port, page)[0] == expected
                    assert time.monotonic() - began < 4

    def test_is_dead_when_a_loop_hangs(self) -> None:
        port, heartbeats = free_port(), Heartbeats()
        with observed(settings(AWAY, port), heartbeats):
            heartbeats.expect("poller-ai", within=timedelta(seconds=-1))
            status, body = ask(port, "livez")
        assert status == 503
        assert "poller-ai" in body

    def test_ends_over_a_port_that_was_asked_for_and_is_taken(self) -> None:
        port = free_port()
        with (
            observed(settings(AWAY, port), Heartbeats()),
            pytest.raises(SettingsError, match="PROCOS_BRIDGE_HEALTH_PORT"),
            observed(settings(AWAY, port), Heartbeats()),
        ):
            pytest.fail("two bridges on one port")

    def test_serves_nothing_on_port_0(self) -> None:
        with observed(settings(AWAY, 0), Heartbeats()):
            assert "health" not in {thread.name for thread in threading.enumerate()}

    def test_counts_what_is_in_flight_at_the_moment(self, real: Mapping[str, str], redis_client: redis.Redis) -> None:
        port = free_port()
        with observed(settings(real, port), Heartbeats()):
            redis_client.zadd(leases("ai"), {"one": 1, "two": 2})
            redis_client.sadd(HOLDERS, "here/ai", "here/generic", "gone/ai")
            redis_client.set(replica("here"), "boot", ex=10)
            _, text = ask(port, "metrics")
        assert "procos_bridge_replicas 1.0" in text
        assert 'procos_bridge_inflight{queue="ai"} 2.0' in text
        assert 'procos_bridge_capacity{queue="ai"} 2000.0' in text
