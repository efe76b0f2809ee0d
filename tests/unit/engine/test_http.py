"""What each call of the engine client sends."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import EngineMisconfiguredError
from procos.domain.external_task import ExternalTaskId, Topic
from procos.engine.http import HttpEngine
from procos.engine.subscription import Subscription
from procos.engine.transport import Transport
from procos.settings import EngineSettings

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Site

TASK = ExternalTaskId("t")


@pytest.fixture
def engine(site: Site) -> HttpEngine:
    return HttpEngine(Transport(EngineSettings(url=site.address)))


def last(site: Site) -> tuple[str, Any]:
    _, path, _, body = site.requests[-1]
    return path.removeprefix("/engine-rest"), json.loads(body) if body else None


class TestHttpEngine:
    def test_fetches_without_parking_when_it_should_not_wait(self, site: Site, engine: HttpEngine) -> None:
        site.body = b"[]"
        subscription = Subscription(topic=Topic("a"), lock_duration=timedelta(seconds=1))
        assert engine.fetch_and_lock("me", [subscription], max_tasks=3, wait=timedelta(0)) == []
        path, body = last(site)
        assert path == "/external-task/fetchAndLock"
        assert (body["workerId"], body["maxTasks"], body["usePriority"]) == ("me", 3, True)
        assert "asyncResponseTimeout" not in body

    def test_cuts_a_long_message_and_keeps_it_whole_in_the_details(self, site: Site, engine: HttpEngine) -> None:
        site.status, site.body = 204, b""
        text = "x" * 700
        engine.fail(TASK, "me", message=text, details=text, retries=2, retry_in=timedelta(seconds=1.5))
        path, body = last(site)
        assert path == "/external-task/t/failure"
        assert body == {
            "workerId": "me",
            "errorMessage": "x" * 666,
            "errorDetails": text,
            "retries": 2,
            "retryTimeout": 1500,
        }

    def test_fails_with_variables(self, site: Site, engine: HttpEngine) -> None:
        site.status, site.body = 204, b""
        engine.fail(TASK, "me", message="m", details="d", retries=2, retry_in=timedelta(0), variables={"last": "no"})
        assert last(site)[1]["variables"] == {"last": {"type": "String", "value": "no", "valueInfo": {}}}

    def test_completes_without_variables_in_one_call(self, site: Site, engine: HttpEngine) -> None:
        site.status, site.body = 204, b""
        engine.complete(TASK, "me", {})
        assert last(site) == ("/external-task/t/complete", {"workerId": "me", "variables": {}})
        assert len(site.requests) == 1

    @pytest.mark.parametrize(
        ("message", "knows"),
        [
            ("Cannot correlate message 'x'", True),
            ("Cannot instantiate: Unsupported value type 'Json'", False),
        ],
    )
    def test_finds_out_once_whether_the_engine_has_spin(
        self,
        site: Site,
        engine: HttpEngine,
        message: str,
        knows: bool,  # noqa: FBT001  # a table's column
    ) -> None:
        site.status = 400
        site.body = json.dumps({"type": "RestException", "message": message}).encode()
        assert engine.knows_json is knows
        assert engine.knows_json is knows
        assert len(site.requests) == 1

    def test_reads_the_version(self, site: Site, engine: HttpEngine) -> None:
        site.body = b'{"version": "7.24.0"}'
        assert engine.version() == "7.24.0"

    @pytest.mark.parametrize("body", [b"[]", b"{}", b'"7"'])
    def test_refuses_a_version_that_is_none(self, site: Site, engine: HttpEngine, body: bytes) -> None:
        site.body = body
        with pytest.raises(EngineMisconfiguredError, match="/version"):
            engine.version()

    def test_stops_where_every_page_of_a_list_is_the_same(
        self, site: Site, engine: HttpEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("procos.engine.http.PAGE", 2)
        row = {"topicName": "t", "processInstanceId": "i", "activityId": "a"}
        site.body = json.dumps([{**row, "id": str(number)} for number in range(2)]).encode()
        with pytest.raises(EngineMisconfiguredError, match="every page of a list"):
            engine.held_by("me")
        assert len(site.requests) == 2
