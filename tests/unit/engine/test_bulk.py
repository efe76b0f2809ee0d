"""The endpoint for lists, as the engine of this project answers it and as others do."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import (
    EngineBusyError,
    EngineConflictError,
    EngineMisconfiguredError,
    EngineUnreachableError,
    TaskGoneError,
    VariableError,
)
from procos.domain.external_task import ExternalTaskId
from procos.engine.bulk import ADDRESS, VERDICTS
from procos.engine.http import HttpEngine
from procos.engine.reports import Complete, Fail, Throw
from procos.engine.transport import Transport
from procos.engine.uncaught import REFUSES_UNCAUGHT
from procos.settings import EngineSettings

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Site

TAKES_LISTS = {VERDICTS: "50", REFUSES_UNCAUGHT: "true"}
DONE = {"status": 204}
GONE = {"status": 404, "type": "RestException", "message": "External task with id b does not exist", "code": 0}
COLLIDED = {"status": 500, "type": "OptimisticLockingException", "message": "concurrently", "code": 1}


def complete(name: str, **variables: object) -> Complete:
    return Complete(external_task_id=ExternalTaskId(name), holder="me", variables=variables)


@pytest.fixture
def engine(site: Site) -> HttpEngine:
    site.headers.update(TAKES_LISTS)
    site.body = b'{"version": "7.24.0"}'
    engine = HttpEngine(Transport(EngineSettings(url=site.address)))
    engine.__dict__["knows_json"] = True  # found out by a question of its own
    engine.version()
    return engine


def answers(site: Site, *each: object, status: int = 200) -> None:
    site.body, site.status = json.dumps({"answers": each}).encode(), status


class TestLength:
    def test_is_what_the_engine_says(self, engine: HttpEngine) -> None:
        assert engine.longest_list == 50

    @pytest.mark.parametrize(
        "headers",
        [{}, {VERDICTS: "many", REFUSES_UNCAUGHT: "true"}, {VERDICTS: "50"}],
        ids=["none", "no number", "half"],
    )
    def test_is_nothing_on_other_engines(self, engine: HttpEngine, site: Site, headers: dict[str, str]) -> None:
        site.headers = headers
        engine.version()
        assert engine.longest_list == 0

    def test_is_not_asked_for(self, site: Site) -> None:
        assert HttpEngine(Transport(EngineSettings(url=site.address))).longest_list == 0
        assert site.requests == []

    def test_outlasts_a_proxy_that_knows_nothing_of_it(self, engine: HttpEngine, site: Site) -> None:
        site.headers, site.status, site.body = {}, 502, b"<html>"
        with pytest.raises(EngineBusyError):
            engine.version()
        assert engine.longest_list == 50


class TestReport:
    def test_writes_each_as_its_own_call_would(self, engine: HttpEngine, site: Site) -> None:
        answers(site, DONE, DONE, DONE)
        failure = Fail(
            external_task_id=ExternalTaskId("b"),
            holder="me",
            message="no",
            details="why",
            retries=2,
            retry_in=timedelta(seconds=3),
        )
        error = Throw(external_task_id=ExternalTaskId("c"), holder="me", code="C", message="m")
        assert engine.report([complete("a", answer=42), failure, error]) == [None] * 3
        _, path, _, body = site.requests[-1]
        assert path == f"/engine-rest{ADDRESS}"
        assert json.loads(body)["verdicts"] == [
            {
                "externalTaskId": "a",
                "verb": "complete",
                "workerId": "me",
                "variables": {"answer": {"type": "Integer", "value": 42, "valueInfo": {}}},
            },
            {
                "externalTaskId": "b",
                "verb": "failure",
                "workerId": "me",
                "errorMessage": "no",
                "errorDetails": "why",
                "retries": 2,
                "retryTimeout": 3000,
            },
            {
                "externalTaskId": "c",
                "verb": "bpmnError",
                "workerId": "me",
                "errorCode": "C",
                "errorMessage": "m",
                "variables": {},
            },
        ]

    def test_answers_for_each(self, engine: HttpEngine, site: Site) -> None:
        answers(site, DONE, GONE, COLLIDED)
        found = engine.report([complete("a"), complete("b"), complete("c")])
        assert [type(each) for each in found] == [type(None), TaskGoneError, EngineConflictError]

    def test_leaves_out_what_cannot_be_written(self, engine: HttpEngine, site: Site) -> None:
        answers(site, DONE)
        found = engine.report([complete("a", x=object()), complete("b")])
        assert [type(each) for each in found] == [VariableError, type(None)]

    def test_of_nothing_that_can_be_written_is_no_call(self, engine: HttpEngine, site: Site) -> None:
        asked = len(site.requests)
        assert isinstance(engine.report([complete("a", x=object())])[0], VariableError)
        assert len(site.requests) == asked


class TestRefusal:
    @pytest.mark.parametrize(
        "body",
        [b'{"answers": []}', b"[]", b'{"answers": [1]}', b"<html>"],
        ids=["too few", "no object", "no answers", "a page"],
    )
    def test_of_the_whole_list_is_each_ones_and_ends_lists_for_a_while(
        self, engine: HttpEngine, site: Site, body: bytes
    ) -> None:
        site.body = body
        assert [type(each) for each in engine.report([complete("a")])] == [EngineMisconfiguredError]
        assert engine.longest_list == 0

    def test_without_a_status_is_no_success(self, engine: HttpEngine, site: Site) -> None:
        answers(site, {})
        assert [type(each) for each in engine.report([complete("a")])] == [EngineMisconfiguredError]

    def test_for_want_of_the_endpoint_ends_lists_for_a_while(self, engine: HttpEngine, site: Site) -> None:
        site.status, site.body = 404, b"<html>"
        (found,) = engine.report([complete("a")])
        assert isinstance(found, EngineMisconfiguredError)
        assert engine.longest_list == 0

    @pytest.mark.parametrize("status", [429, 503])
    def test_for_a_moment_says_nothing_of_any(self, engine: HttpEngine, site: Site, status: int) -> None:
        site.status = status
        with pytest.raises(EngineBusyError):
            engine.report([complete("a")])
        assert engine.longest_list == 50

    def test_by_silence_says_nothing_of_any(self, engine: HttpEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        def cut(*_: object, **__: object) -> None:
            raise EngineUnreachableError("engine", "cut")

        monkeypatch.setattr(engine._transport, "post", cut)
        with pytest.raises(EngineUnreachableError):
            engine.report([complete(str(number)) for number in range(8)])
        assert engine.longest_list == 4

    def test_by_silence_is_followed_by_shorter_lists_and_those_by_longer_ones(
        self, engine: HttpEngine, site: Site
    ) -> None:
        engine._bulk._bound = 1
        lengths = []
        for _ in range(6):
            lengths.append(engine.longest_list)
            answers(site, *[DONE] * lengths[-1])
            engine.report([complete(str(number)) for number in range(lengths[-1])])
        assert lengths == [2, 4, 8, 16, 32, 50]
