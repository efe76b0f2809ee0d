"""People find a step by its process instance: in Flower, in Cockpit, and on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def instance_id(stack: Any, eventually: Callable[..., None]) -> str:
    instance_id: str = stack.start("sample_noop")
    eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the instance to end")
    return instance_id


@pytest.fixture(scope="module")
def flower(stack: Any) -> tuple[str, tuple[str, str]]:
    address = stack.status()["flower"]["address"].rstrip("/")
    return address, ("procos", (stack.folder / "secrets" / "flower_password").read_text().strip())


class TestFlower:
    def test_finds_a_task_by_its_process_instance(
        self, flower: tuple[str, tuple[str, str]], instance_id: str, eventually: Callable[..., None]
    ) -> None:
        address, credentials = flower

        def found() -> dict[str, Any]:
            query = {"search": f"kwargs:process_instance_id={instance_id}"}
            return dict(requests.get(f"{address}/api/tasks", params=query, auth=credentials, timeout=10).json())

        eventually(lambda: len(found()) == 1, seconds=20, what="the task in Flower")
        task = next(iter(found().values()))
        assert task["name"] == "sample.sample_noop"
        assert task["state"] == "SUCCESS"

    def test_lets_nobody_in_without_credentials(self, flower: tuple[str, tuple[str, str]]) -> None:
        address, _ = flower
        assert requests.get(f"{address}/api/tasks", timeout=10).status_code == 401
        assert requests.get(f"{address}/tasks", timeout=10).status_code == 401

    def test_is_read_only(self, flower: tuple[str, tuple[str, str]]) -> None:
        address, credentials = flower
        refused = requests.post(f"{address}/api/worker/shutdown/worker-ai", auth=credentials, timeout=10)
        assert refused.status_code in {401, 403, 404, 405}


class TestCockpit:
    def test_serves_its_page(self, stack: Any) -> None:
        page = requests.get(stack.rest.replace("engine-rest", "camunda/app/cockpit/default/"), timeout=20)
        assert page.status_code == 200
        assert "Cockpit" in page.text

    def test_has_the_diagram_of_the_question(self, stack: Any) -> None:
        source = requests.get(f"{stack.rest}/process-definition/key/ai_query_process/xml", timeout=20).json()
        assert "BPMNDiagram" in source["bpmn20Xml"]


class TestCommands:
    def test_deploy_again_changes_nothing(self, stack: Any) -> None:
        done = stack.procos("deploy", "--json")
        assert {model["changed"] for model in json.loads(done.stdout)} == {False}

    def test_routes_list_the_sample_package(self, stack: Any) -> None:
        rows = json.loads(stack.procos("routes", "--json").stdout)
        assert {"ai_query", "sample_noop"} <= {row["topic"] for row in rows}
        assert {row["source"] for row in rows} == {"procos", "sample-tasks"}

    def test_status_shows_every_part_and_queue(self, stack: Any) -> None:
        document = json.loads(stack.procos("status", "--json").stdout)
        assert {part["name"] for part in document["parts"]} == {
            "engine", "broker", "redis", "model", "bridge", "worker-ai", "worker-generic", "flower",
        }  # fmt: skip
        assert {"ai", "generic", "callbacks"} <= {queue["name"] for queue in document["queues"]}

    def test_up_again_says_that_it_runs(self, stack: Any) -> None:
        done = stack.procos("up", "--detach")
        assert done.returncode == 0
        assert "running already" in done.stderr
