"""Requests of users: routed to a process, answered or refused; and a thousand of them, fifty at a time."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
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

KINDS = ROOT / "tests" / "samples" / "requests"
MANY, AT_A_TIME = 1000, 50
REQUEST = "procos_user_request"


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

        assert (done.returncode, "names that begin with request_ are the system's own" in done.stderr) == (2, True)


class TestMany:
    @pytest.fixture(scope="class")
    def answered(self, system: Any, client: Client, eventually: Callable[..., None]) -> list[dict[str, float]]:
        """Send them, and note after each half what they cost and what is left of them."""
        for key in (REQUEST, "echo"):
            _forget_at_once(system.rest, key)
        halves = [_cost(system)]
        with ThreadPoolExecutor(AT_A_TIME) as senders:
            for number in range(0, MANY, AT_A_TIME):
                batch = list(
                    senders.map(lambda n: client.request("echo", {"number": n}).id, range(number, number + AT_A_TIME))
                )
                eventually(lambda batch=batch: system.finished(batch) == AT_A_TIME, seconds=120, what="the answers")
                if (number + AT_A_TIME) % (MANY // 2) == 0:
                    halves.append(_cost(system))
        return halves

    def test_all_are_answered_and_none_is_refused(self, system: Any, answered: list[dict[str, float]]) -> None:
        assert answered
        question = {"processDefinitionKey": REQUEST, "variables": "request_status_eq_answered"}
        found = requests.get(f"{system.rest}/history/process-instance/count", params=question, timeout=60).json()

        assert found["count"] >= MANY
        assert requests.get(f"{system.rest}/incident/count", timeout=20).json()["count"] == 0

    def test_the_later_ones_cost_no_more_than_the_first(self, answered: list[dict[str, float]]) -> None:
        before, half, whole = answered

        assert whole["cpu"] - half["cpu"] < 1.5 * (half["cpu"] - before["cpu"])

    def test_they_leave_nothing_behind_that_grows(self, system: Any, answered: list[dict[str, float]]) -> None:
        _, half, whole = answered

        assert whole["memory"] < half["memory"] + 50e6
        assert whole["keys"] < half["keys"] * 2.2  # stored results, of which each is kept for an hour
        for what in ("process-instance", "external-task", "job"):
            rows = requests.get(f"{system.rest}/{what}/count", timeout=20).json()["count"]
            assert rows < AT_A_TIME, what

    def test_their_history_is_cleaned(
        self, system: Any, answered: list[dict[str, float]], eventually: Callable[..., None]
    ) -> None:
        assert answered
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


def _cost(system: Any) -> dict[str, float]:
    """Sum up the CPU seconds of all parts, the memory of bridge and workers, and the keys in Redis."""
    parts = {name: psutil.Process(part["pid"]) for name, part in system.status().items()}
    everyone = [each for process in parts.values() for each in (process, *process.children(recursive=True))]
    times = [each.cpu_times() for each in everyone]
    ours = [
        each for name in ("bridge", "worker-generic") for each in (parts[name], *parts[name].children(recursive=True))
    ]
    return {
        "cpu": sum(time.user + time.system for time in times),
        "memory": float(sum(each.memory_info().rss for each in ours)),
        "keys": float(redis.Redis.from_url(system.settings["PROCOS_REDIS_URL"]).dbsize()),
    }
