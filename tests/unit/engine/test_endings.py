"""When instances ended: by the topmost that called them, and never by a guess."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from procos.engine.endings import endings_of
from procos.engine.transport import Transport
from procos.settings import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.unit.engine.conftest import Site

END = "2026-11-23T04:00:00.000+0000"
MOMENT = datetime(2026, 11, 23, 4, tzinfo=UTC)


@pytest.fixture
def ended(site: Site) -> Callable[..., dict[str, datetime | None]]:
    """Ask for the ends of instances, where history and what runs are these."""

    def ask(
        *ids: str, history: Sequence[Mapping[str, Any]] = (), running: Sequence[str] = ()
    ) -> dict[str, datetime | None]:
        def answer(path: str, _headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
            wanted = json.loads(body)["processInstanceIds"]
            rows = history if "/history/" in path else [{"id": each} for each in running]
            return 200, json.dumps([row for row in rows if row["id"] in wanted]).encode()

        site.script = answer
        found = endings_of(Transport(EngineSettings(url=site.address)), ids)
        return {instance_id: ending.at for instance_id, ending in found.items()}

    return ask


def row(instance_id: str, end: str | None = END, *, root: str | None = None) -> dict[str, Any]:
    return {"id": instance_id, "endTime": end, "rootProcessInstanceId": root or instance_id}


class TestEndings:
    def test_are_those_that_history_knows(self, ended: Callable[..., Any]) -> None:
        found = ended("ended", "running", "stranger", history=[row("ended"), row("running", None)])
        assert found == {"ended": MOMENT, "running": None}

    def test_of_called_instances_are_those_of_the_topmost(self, ended: Callable[..., Any]) -> None:
        history = [row("child", root="parent"), row("parent", None), row("other", root="done"), row("done")]
        assert ended("child", "other", history=history) == {"child": None, "other": MOMENT}

    def test_are_not_known_where_the_topmost_is_not(self, ended: Callable[..., Any]) -> None:
        assert ended("child", history=[row("child", root="forgotten")]) == {}

    def test_of_what_runs_are_known_without_a_history(self, ended: Callable[..., Any]) -> None:
        assert ended("running", "stranger", running=["running"]) == {"running": None}
        assert ended("child", history=[row("child", root="parent")], running=["parent"]) == {"child": None}

    def test_of_an_engine_that_knows_no_roots_are_its_own(self, ended: Callable[..., Any]) -> None:
        assert ended("ended", history=[{"id": "ended", "endTime": END}]) == {"ended": MOMENT}

    def test_of_nobody_are_no_question(self, ended: Callable[..., Any], site: Site) -> None:
        assert ended() == {}
        assert site.requests == []

    def test_of_many_are_asked_for_page_by_page(
        self, ended: Callable[..., Any], site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("procos.engine.endings.PAGE", 2)
        ids = [f"instance-{number}" for number in range(5)]
        assert set(ended(*ids, history=[row(each) for each in ids])) == set(ids)
        assert len(site.requests) == 3
