"""Requests of users: routed to a process, answered or refused; and a thousand of them, fifty at a time."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import redis
import requests

from procos.client import Client
from procos.settings import load_settings
from tests.local_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = ("celery-task-meta-", "procos:steps:")
"""What is kept for a while of each step by design: its result for an hour, its story for people for a week."""
KINDS = ROOT / "tests" / "samples" / "requests"
MANY, AT_A_TIME, WARM_UP = 1000, 50, 200
REQUEST = "procos_user_request"


@dataclass(frozen=True)
class Cost:
    """What all parts have used of CPU in seconds, bridge and workers have of memory in bytes, and Redis has of keys."""

    cpu: float
    memory: int
    keys: int


@pytest.fixture(scope="module")
def system(stack_factory: Any) -> Any:
    """A system whose process directory holds two kinds of requests."""
    return stack_factory("engine", "broker", "redis", "bridge", "worker-generic", PROCOS_PROCESS_DIRECTORY=str(KINDS))


@pytest.fixture(scope="module")
def client(system: Any) -> Client:
    return Client(load_settings(system.settings, dotenv=None))


def asked(system: Any, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = system.procos("request", *arguments, "--json")
    assert done.stdout, done.stderr
    return done.returncode, dict(json.loads(done.stdout))


class TestRequest:
    def test_is_answered_by_the_process_it_is_for(self, system: Any) -> None:
        code, answer = asked(system, "echo", "--var", "number=7")

        assert (code, answer["ended_at"]) == (0, "Answered")
        variables = answer["variables"]
        assert (variables["echo"], variables["request_status"], variables["request_kind"]) == (7, "answered", "echo")

    def test_keeps_its_own_variables_to_itself(self, client: Client, system: Any) -> None:
        request = client.request("echo", {"number": 1}, business_key="order-7")
        request.result()
        called = requests.get(
            f"{system.rest}/history/process-instance", params={"superProcessInstanceId": request.id}, timeout=20
        ).json()

        variables = system.variables(called[0]["id"])
        assert called[0]["businessKey"] == "order-7"
        assert variables["number"]["value"] == 1
        assert [variables[name]["value"] for name in ("request_kind", "process_to_execute")] == [None, None]

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["ecko", "--var", "number=1"], "UNKNOWN_REQUEST", "did you mean echo"),
            (["../echo", "--var", "number=1"], "UNKNOWN_REQUEST", "known"),
            (["echo"], "INVALID_REQUEST", "number"),
            (["echo", "--var", "number=-1", "--var", "colour=red"], "INVALID_REQUEST", "colour"),
        ],
        ids=["a typo", "a path", "a variable missing", "wrong variables"],
    )
    def test_is_refused_with_a_reason(self, system: Any, arguments: list[str], code: str, words: str) -> None:
        exit_code, answer = asked(system, *arguments)

        assert (exit_code, answer["ended_at"]) == (1, "Refused")
        assert answer["variables"]["error_code"] == code
        assert words in answer["variables"]["error_message"]

    def test_fails_with_the_error_of_its_process(self, system: Any) -> None:
        code, answer = asked(system, "refuses")

        assert (code, answer["ended_at"]) == (1, "Failed")
        variables = answer["variables"]
        assert (variables["error_code"], variables["error_message"]) == ("OUT_OF_STOCK", "none left")
        assert (variables["error_class"], variables["error_action"]) == ("business", "none")

    def test_may_not_use_the_systems_names(self, system: Any) -> None:
        done = system.procos("request", "echo", "--var", "request_kind=other")

        assert (done.returncode, "these names are the system's own" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def costs(system: Any, client: Client, eventually: Callable[..., None]) -> tuple[Cost, Cost, Cost]:
    """Send them, and note after the warm-up and after each half what they have cost, and what is left of them."""
    for key in (REQUEST, "echo"):
        _forget_at_once(system.rest, key)

    def send(count: int) -> Cost:
        with ThreadPoolExecutor(AT_A_TIME) as senders:
            for number in range(0, count, AT_A_TIME):
                numbers = range(number, number + AT_A_TIME)
                batch = list(senders.map(lambda n: client.request("echo", {"number": n}).id, numbers))
                eventually(lambda batch=batch: system.finished(batch) == AT_A_TIME, seconds=120, what="the answers")
        return cost_of(system)

    return send(WARM_UP), send((MANY - WARM_UP) // 2), send((MANY - WARM_UP) // 2)


class TestMany:
    def test_all_are_answered_and_none_is_refused(self, system: Any, costs: tuple[Cost, Cost, Cost]) -> None:
        assert costs
        answered = {"name": "request_status", "operator": "eq", "value": "answered"}
        question = {"processDefinitionKey": REQUEST, "variables": [answered]}
        found = requests.post(f"{system.rest}/history/process-instance/count", json=question, timeout=60).json()

        assert found["count"] >= MANY
        assert requests.get(f"{system.rest}/incident/count", timeout=20).json()["count"] == 0

    def test_the_later_ones_cost_no_more_than_the_first(self, costs: tuple[Cost, Cost, Cost]) -> None:
        before, half, whole = costs

        assert whole.cpu - half.cpu < 1.25 * (half.cpu - before.cpu)

    def test_they_leave_nothing_behind_that_grows(self, system: Any, costs: tuple[Cost, Cost, Cost]) -> None:
        _, half, whole = costs

        assert whole.memory < half.memory + 50e6
        assert whole.keys < half.keys + AT_A_TIME
        for what in ("process-instance", "external-task", "job"):
            rows = requests.get(f"{system.rest}/{what}/count", timeout=20).json()["count"]
            assert rows < AT_A_TIME, what

    def test_their_history_is_cleaned(
        self, system: Any, costs: tuple[Cost, Cost, Cost], eventually: Callable[..., None]
    ) -> None:
        assert costs
        requests.post(
            f"{system.rest}/history/cleanup", params={"immediatelyDue": "true"}, timeout=20
        ).raise_for_status()

        def left() -> int:
            keys = {
                "processDefinitionKeyIn": f"{REQUEST},echo",
                "finished": "true",
                "startedAfter": "2020-01-01T00:00:00.000+0000",
            }
            url = f"{system.rest}/history/process-instance/count"
            return int(requests.get(url, params=keys, timeout=60).json()["count"])

        before = left()
        eventually(lambda: left() <= before - 2 * MANY, seconds=120, what="the history to be cleaned")


def _forget_at_once(rest: str, key: str) -> None:
    """Let instances that end from now on be cleaned up by the next clean-up."""
    (definition,) = requests.get(
        f"{rest}/process-definition", params={"key": key, "latestVersion": "true"}, timeout=20
    ).json()
    url = f"{rest}/process-definition/{definition['id']}/history-time-to-live"
    requests.put(url, json={"historyTimeToLive": 0}, timeout=20).raise_for_status()


def cost_of(system: Any) -> Cost:
    """Sum up the CPU seconds of all parts, the memory of bridge and workers, and the keys in Redis."""
    parts = {name: psutil.Process(part["pid"]) for name, part in system.status().items()}
    families = {name: [process, *process.children(recursive=True)] for name, process in parts.items()}
    times = [each.cpu_times() for family in families.values() for each in family]
    ours = [each for name in ("bridge", "worker-generic") for each in families[name]]
    keys = redis.Redis.from_url(system.settings["PROCOS_REDIS_URL"], decode_responses=True).scan_iter(count=1000)
    return Cost(
        cpu=sum(time.user + time.system for time in times),
        memory=sum(each.memory_info().rss for each in ours),
        keys=sum(not str(key).startswith(KEPT) for key in keys),
    )
