"""The parts of the system: how a check can end, what is kept of it, and what the two topics make of that."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from procos import ledger_keys as keys
from procos.domain.errors import EngineDeniedError
from procos.queues import QueueDepth
from procos.settings import load_settings
from tasks.system.health_monitoring import HealthMonitoringInput, checked, health_monitoring
from tasks.system.initialization import SystemInitializationInput, initialized, system_initialization
from tasks.system.part_checks import engine_trouble, live_bridges, unconsumed
from tasks.system.parts_state import LONGEST_REASON, PartState, SystemState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.testing import StepRunner
    from tasks.context import TaskContext

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
WELL = SystemState(parts=(PartState(part="engine"), PartState(part="redis")))
ILL = SystemState(parts=(PartState(part="engine"), PartState(part="redis", reason="away")))
AWAY = {
    "PROCOS_ENGINE_URL": "http://127.0.0.1:9/engine-rest",
    "PROCOS_BROKER_URL": "amqp://guest:secret@127.0.0.1:9//",
    "PROCOS_REDIS_URL": "redis://:secret@127.0.0.1:9/0",
}


def denied() -> None:
    raise EngineDeniedError("the credentials are refused", status=401)


def broken() -> None:
    raise ZeroDivisionError("secret")


class Bridges:
    """What Redis knows of bridges."""

    def __init__(self, holders: set[bytes], *alive: str) -> None:
        self._holders, self._alive = holders, {keys.replica(each) for each in alive}

    def smembers(self, key: str) -> set[bytes]:
        assert key == keys.HOLDERS
        return self._holders

    def exists(self, key: str) -> int:
        return int(key in self._alive)


class TestStateOf:
    def test_is_healthy_where_every_check_finds_nothing(self) -> None:
        state = state_of({"engine": lambda: None, "redis": lambda: ""})
        assert state.is_healthy
        assert state.troubles == []

    @pytest.mark.parametrize(
        ("check", "reason"),
        [
            (lambda: "no worker takes from ai", "no worker takes from ai"),
            (denied, "the credentials are refused"),
            (broken, "cannot be asked: ZeroDivisionError"),
        ],
    )
    def test_says_why_a_part_is_of_no_use(self, check: Callable[[], str | None], reason: str) -> None:
        state = state_of({"first": check, "second": lambda: None})
        assert state.troubles == [f"first: {reason}"]
        assert state.as_variable() == {
            "first": {"healthy": False, "reason": reason},
            "second": {"healthy": True, "reason": ""},
        }

    def test_does_not_wait_for_a_check_that_hangs(self) -> None:
        release = threading.Event()
        state = state_of({"stuck": lambda: str(release.wait(5)), "well": lambda: None}, limit=0.05)
        release.set()
        assert state.troubles == ["stuck: no answer within 0.05 s"]

    def test_cuts_a_long_reason(self) -> None:
        (trouble,) = state_of({"x": lambda: "y" * 1000}).troubles
        assert len(trouble) == LONGEST_REASON + len("x: ")


class TestChecks:
    def test_call_a_queue_unserved_that_nobody_takes_from_or_has_declared(self) -> None:
        found = {"ai": QueueDepth(consumers=1), "b": QueueDepth(ready=3), "c": QueueDepth(missing=True)}
        assert unconsumed(found) == ["b", "c"]

    def test_find_the_bridges_that_hold_their_id(self) -> None:
        client: Any = Bridges({b"one/ai", b"one/generic", b"two/limit.crm/ai"}, "two")
        assert live_bridges(client) == {"two"}
        assert live_bridges(Bridges(set())) == frozenset()  # type: ignore[arg-type]  # what is asked of it, it has

    def test_ask_the_engine_for_its_version(self, provider_server: Any) -> None:
        provider_server.tags_status = 503
        settings = load_settings({"PROCOS_ENGINE_URL": f"{provider_server.url}/engine-rest"}, dotenv=None)
        with pytest.raises(Exception, match="503"):
            engine_trouble(settings)
        assert provider_server.paths == ["/engine-rest/version"]

    def test_take_an_engine_nobody_told_of_for_healthy(self) -> None:
        assert engine_trouble(load_settings({}, dotenv=None)) is None  # a step has come from it


class TestSystemInitialization:
    def test_records_what_it_finds(self) -> None:
        assert initialized(ILL).model_dump() == {
            "system_state": {"engine": {"healthy": True, "reason": ""}, "redis": {"healthy": False, "reason": "away"}},
            "system_ready": False,
            "system_troubles": ["redis: away"],
        }
        assert initialized(WELL).system_ready

    def test_does_not_fail_where_every_part_is_away_and_shows_no_secret(
        self, context_with: Callable[..., TaskContext]
    ) -> None:
        found = system_initialization(SystemInitializationInput(), context_with(load_settings(AWAY, dotenv=None)))
        assert [part for part, state in found.system_state.items() if state["healthy"]] == []
        assert [trouble.partition(":")[0] for trouble in found.system_troubles] == [
            "engine", "broker", "redis", "bridge",
        ]  # fmt: skip
        assert "secret" not in str(found)
        assert "PROCOS_ENGINE_URL" in found.system_troubles[0]

    def test_takes_a_start_time_in_either_form(self) -> None:
        assert SystemInitializationInput(startup_time=NOW).startup_time == NOW
        assert SystemInitializationInput(startup_time="today").startup_time == "today"


class TestHealthMonitoring:
    def test_counts_troubled_checks_in_a_row(self) -> None:
        found = checked(ILL, before=2, now=NOW)
        assert (found.system_healthy, found.consecutive_troubles, found.system_troubles) == (False, 3, ["redis: away"])
        assert found.checked_at == "2026-11-28T12:00:00+00:00"

    def test_begins_anew_after_a_good_one(self) -> None:
        found = checked(WELL, before=7, now=NOW)
        assert (found.system_healthy, found.consecutive_troubles, found.system_troubles) == (True, 0, [])

    def test_does_not_fail_where_every_part_is_away(self, context_with: Callable[..., TaskContext]) -> None:
        found = health_monitoring(HealthMonitoringInput(), context_with(load_settings(AWAY, dotenv=None)))
        assert (found.system_healthy, found.consecutive_troubles, len(found.system_troubles)) == (False, 1, 4)

    @pytest.mark.parametrize("count", [-1, "many", 1.5])
    def test_refuses_a_count_that_is_none(self, count: object) -> None:
        with pytest.raises(ValidationError, match="consecutive_troubles"):
            HealthMonitoringInput.model_validate({"consecutive_troubles": count})

    def test_is_a_bpmn_error_for_a_count_that_is_none(self, procos_steps: StepRunner) -> None:
        ended = procos_steps.run("health_monitoring", consecutive_troubles="many", catches=["INVALID_INPUT"])
        assert ended.error_code == "INVALID_INPUT"


class TestRedis:
    def test_names_where_it_is_without_the_password(self, context_with: Callable[..., TaskContext]) -> None:
        found = system_initialization(SystemInitializationInput(), context_with(load_settings(AWAY, dotenv=None)))
        assert found.system_state["redis"]["reason"].startswith("redis://127.0.0.1:9/0 does not answer: ")
