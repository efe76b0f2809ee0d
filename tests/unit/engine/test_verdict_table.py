"""Every answer an engine may give to a report, over HTTP, and what becomes of the outcome in the end.

A row scripts the engine's answers by the last part of the path; the last answer of a list stays. What could not be
reported is decided on as the bridge does: held until the engine is back, or parked and offered again.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

from bridge.disposals import Disposal, decision_on
from bridge.reporter import REFUSED_TRIES, Reporter, Verdict
from procos.domain.errors import ProcosError
from procos.domain.outcome import BpmnError, Completion, Failure, Outcome
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.engine.uncaught import REFUSES_UNCAUGHT
from procos.settings import EngineSettings
from procos.testing import FakeLedger, InstantStop, dispatch_ref
from procos.testing.samples import HOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.unit.engine.conftest import Site

    Answers = Mapping[str, Sequence[tuple[int, bytes]]]

DONE = (204, b"")
PARK, HOLD = Disposal.PARK, Disposal.HOLD
COMPLETED, INCIDENT, GONE = Verdict.COMPLETED, Verdict.INCIDENT, Verdict.GONE
RESULT = Completion(variables={"answer": 42})
LONG_RESULT = Completion(variables={"short": "x", "essay": "é" * 3000})
THROWN = BpmnError(code="REFUSED", message="no")
FAILED = Failure(message="no", details="", code="TRANSIENT", permanent=False, retry_in=None)
REST, INVALID, ENGINE = "RestException", "InvalidRequestException", "ProcessEngineException"
PERSISTENCE = "ProcessEnginePersistenceException"


def said(status: int, kind: str, message: str, code: int | None = None) -> tuple[int, bytes]:
    return status, json.dumps({"type": kind, "message": message, "code": code}).encode()


def page(status: int, text: str = "<html><body>Wartung, ä</body></html>", charset: str = "utf-8") -> tuple[int, bytes]:
    return status, text.encode(charset)


def held_by(holder: str | None, *, suspended: bool = False) -> tuple[int, bytes]:
    task: dict[str, object] = {"id": "task-1", "topicName": "t", "processInstanceId": "i", "activityId": "step"}
    lock = {"workerId": holder, "lockExpirationTime": "2036-11-23T04:00:00.000+0000"} if holder else {}
    return 200, json.dumps({**task, **lock, "suspended": suspended}).encode()


NOT_FOUND = said(404, REST, "External task with id task-1 does not exist")
NOT_OURS = said(400, REST, "External Task task-1 cannot be completed by worker 'a'. It is locked by worker 'b'.")
NOT_LOCKED = said(400, REST, "External Task task-1 cannot be completed by worker 'a'. It is locked by worker 'null'.")
SUSPENDED = said(400, REST, "ExternalTaskEntity[id=task-1] is suspended")
COLLISION = said(500, "OptimisticLockingException", "Entity was updated by another transaction concurrently", 1)
TOO_LONG = said(500, PERSISTENCE, "Value too long for column TEXT_", 10002)
BROKEN_MODEL = said(500, ENGINE, "Unknown property used in expression: ${missing}", 0)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: what the engine answers, and the fate of the outcome."""

    answers: Answers
    fate: Verdict | Disposal
    outcome: Outcome = RESULT
    tries: int = 1
    message: str = ""
    """A part of the incident's message, or of the reason."""
    calls: Sequence[str] | None = field(default=None)
    """The last parts of the paths that were called, where their order matters."""


def completing(*answers: tuple[int, bytes], fate: Verdict | Disposal, **more: Any) -> Row:
    others = {name: [answer] for name, answer in more.pop("others", {}).items()}
    return Row(answers={"complete": answers, **others}, fate=fate, **more)


TABLE: Mapping[str, Row] = {
    "taken": completing(DONE, fate=COMPLETED, calls=["complete"]),
    # 404
    "gone-because-it-was-cancelled": completing(NOT_FOUND, fate=GONE),
    "gone-because-an-earlier-answer-was-lost": completing(
        NOT_FOUND, fate=COMPLETED, others={"count": (200, b'{"count": 1}')}
    ),
    "gone-and-the-history-is-not-shown": completing(
        NOT_FOUND, fate=GONE, others={"count": said(403, "AuthorizationException", "no")}
    ),
    "wrong-path-below-the-root": completing(said(404, "NotFoundException", "HTTP 404 Not Found"), fate=PARK),
    "wrong-engine-name": completing(said(404, INVALID, "Process engine with name x not available"), fate=PARK),
    "wrong-server": completing(page(404), fate=PARK, message="PROCOS_ENGINE_URL"),
    # 400
    "held-by-another-of-our-ids": completing(
        NOT_OURS, DONE, fate=COMPLETED, others={"task-1": held_by("twin/ai")}, calls=["complete", "task-1", "complete"]
    ),
    "held-by-a-stranger": completing(
        NOT_OURS, fate=PARK, others={"task-1": held_by("stranger"), "lock": NOT_OURS}, message="locked by worker"
    ),
    "held-by-nobody": completing(
        NOT_LOCKED, DONE, fate=COMPLETED, others={"task-1": held_by(None)},
        calls=["complete", "task-1", "lock", "complete"],
    ),
    "suspended": completing(SUSPENDED, fate=PARK, others={"task-1": held_by(HOLDER, suspended=True)}),
    "suspended-in-other-words": completing(
        said(400, REST, "not now"), fate=PARK, others={"task-1": held_by(HOLDER, suspended=True)}
    ),
    "unknown-value-type": completing(said(400, REST, "Unsupported value type 'X'"), fate=INCIDENT, message="'X'"),
    "inconvertible-date": completing(said(400, INVALID, "Cannot convert value of type Date"), fate=INCIDENT),
    "malformed-body": completing(said(400, INVALID, "Unexpected character"), fate=INCIDENT),
    # 500
    "missing-worker-id": completing(
        said(500, "NullValueException", "workerId is null"), fate=INCIDENT, tries=REFUSED_TRIES
    ),
    "file-without-name": completing(
        said(500, "IllegalArgumentException", "filename"), fate=INCIDENT, tries=REFUSED_TRIES
    ),
    "optimistic-locking": completing(COLLISION, COLLISION, DONE, fate=COMPLETED, calls=["complete"] * 3),
    "optimistic-locking-without-end": completing(COLLISION, fate=PARK),
    "deadlock": completing(said(500, PERSISTENCE, "deadlock", 10000), DONE, fate=COMPLETED),
    "foreign-key": completing(said(500, PERSISTENCE, "foreign key", 10001), DONE, fate=COMPLETED),
    "value-too-long": completing(TOO_LONG, DONE, fate=COMPLETED, outcome=LONG_RESULT, calls=["complete"] * 2),
    "value-too-long-as-an-object-too": completing(
        TOO_LONG, fate=INCIDENT, outcome=LONG_RESULT, message="variable 'essay' (3000 characters)"
    ),
    "value-too-long-among-short-ones": completing(TOO_LONG, fate=INCIDENT, message="Value too long"),
    "value-too-long-in-a-bpmn-error": Row(
        answers={"bpmnError": [TOO_LONG, DONE]},
        fate=Verdict.BPMN_ERROR,
        outcome=BpmnError(code="C", message="m", variables=LONG_RESULT.variables),
        calls=["bpmnError"] * 2,
    ),
    "broken-model-at-first": completing(BROKEN_MODEL, fate=PARK, message="${missing}"),
    "broken-model-at-last": completing(BROKEN_MODEL, fate=INCIDENT, tries=REFUSED_TRIES, message="${missing}"),
    "code-of-a-delegate": completing(said(500, ENGINE, "mine", 22222), fate=INCIDENT, tries=REFUSED_TRIES),
    "bpmn-error-nobody-catches": Row(
        answers={"bpmnError": [said(500, ENGINE, "ENGINE-13033 Propagation failed", 0)]},
        fate=INCIDENT, outcome=THROWN, message="BPMN error REFUSED was not caught by the model",
    ),
    "bpmn-error-that-is-caught": Row(answers={"bpmnError": [DONE]}, fate=Verdict.BPMN_ERROR, outcome=THROWN),
    "too-many-requests": completing(said(500, INVALID, "too many requests at the same time"), fate=PARK),
    "shutting-down": completing(said(500, REST, "Request rejected due to shutdown"), fate=PARK),
    "database-away": completing(said(500, "CannotCreateTransactionException", "no connection"), fate=PARK),
    # credentials
    "not-authenticated": completing((401, b""), fate=PARK, message="PROCOS_ENGINE_USER"),
    "not-authorised": completing(said(403, "AuthorizationException", "not allowed"), fate=PARK),
    # failures
    "failure-taken": Row(answers={"failure": [DONE]}, fate=Verdict.RETRY, outcome=FAILED),
    "failure-of-what-is-gone": Row(answers={"failure": [NOT_FOUND]}, fate=GONE, outcome=FAILED),
    "failure-of-what-is-suspended": Row(
        answers={"failure": [SUSPENDED], "task-1": [held_by(HOLDER, suspended=True)]}, fate=PARK, outcome=FAILED
    ),
    # a proxy
    "page-with-200": completing(page(200), fate=PARK, message="not JSON"),
    "page-with-200-in-latin-1": completing(page(200, charset="iso-8859-1"), fate=PARK),
    "page-with-200-in-utf-16": completing(page(200, charset="utf-16"), fate=PARK),
    "nothing-with-200": completing((200, b""), fate=PARK),
    "json-with-200": completing((200, b'{"status": "ok"}'), fate=PARK, message="where the engine gives none"),
    "brackets-without-end-with-200": completing((200, b"[" * 200_000), fate=PARK),
    "page-with-500": completing(page(500), fate=PARK),
    "page-with-502": completing(page(502), fate=PARK),
    "page-with-503": completing(page(503, charset="iso-8859-1"), fate=PARK),
    "page-with-504": completing(page(504), fate=PARK),
    "page-with-403": completing(page(403), fate=PARK),
    "request-too-large": completing(page(413), fate=INCIDENT, message="too large (413)"),
    "redirect-to-a-login": completing(page(302), fate=PARK, message="302"),
}  # fmt: skip


def script(site: Site, answers: Answers) -> None:
    left = {name: list(row) for name, row in answers.items()}

    def answer(path: str, _headers: dict[str, str], _body: bytes) -> tuple[int, bytes]:
        name = path.partition("?")[0].rpartition("/")[2]
        row = left.get(name, [USUAL.get(name, DONE)])
        return row.pop(0) if len(row) > 1 else row[0]

    site.script = answer
    site.headers[REFUSES_UNCAUGHT] = "true"


USUAL = {
    "version": (200, b'{"version": "7.24.0"}'),
    "count": (200, b'{"count": 0}'),
    "task-1": held_by(HOLDER),
    "message": said(400, "MismatchingMessageCorrelationException", "Cannot correlate message"),
}


@pytest.fixture
def reporter(site: Site) -> Reporter:
    return reporter_at(site.address)


def reporter_at(address: str, **options: Any) -> Reporter:
    engine = HttpEngine(Transport(EngineSettings(url=address, **options)))
    ours = {HOLDER, "twin/ai"}.__contains__
    return Reporter(engine, FakeLedger(), {}, is_ours=ours, stop=InstantStop())


def fate(reporter: Reporter, row: Row) -> tuple[Verdict | Disposal, str]:
    try:
        return reporter.report(dispatch_ref(), row.outcome, tries=row.tries), ""
    except ProcosError as error:
        decision = decision_on(error)
        return decision.disposal, decision.reason


class TestVerdict:
    @pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
    def test_of_an_answer(self, site: Site, reporter: Reporter, row: Row) -> None:
        script(site, row.answers)
        found, reason = fate(reporter, row)
        told = [json.loads(body) for _, path, _, body in site.requests if path.endswith("/failure")]
        assert found == row.fate
        assert row.message in reason + "".join(failure["errorMessage"] for failure in told)
        assert (found is INCIDENT) == any(failure["retries"] == 0 for failure in told)
        if row.calls is not None:
            called = [path.rpartition("/")[2] for _, path, _, _ in site.requests]
            assert [name for name in called if name not in {"version", "message", "count"}] == list(row.calls)

    @pytest.mark.parametrize("outcome", [RESULT, THROWN, FAILED], ids=lambda outcome: type(outcome).__name__)
    def test_of_no_answer_is_to_hold(self, outcome: Outcome) -> None:
        row = Row(answers={}, outcome=outcome, fate=HOLD)
        assert fate(reporter_at("http://127.0.0.1:9"), row)[0] is HOLD

    def test_of_an_answer_that_comes_too_late_is_to_hold(self, site: Site) -> None:
        site.hang = threading.Event()
        late = reporter_at(site.address, timeout=0.05)
        assert fate(late, Row(answers={}, fate=HOLD)) == (HOLD, ANY)
        site.hang.set()

    def test_of_a_value_too_long_sends_every_long_text_as_an_object_and_nothing_else(
        self, site: Site, reporter: Reporter
    ) -> None:
        script(site, {"complete": [TOO_LONG, DONE]})
        reporter.report(dispatch_ref(), LONG_RESULT)
        first, second = (json.loads(body) for _, path, _, body in site.requests if path.endswith("/complete"))
        assert first["variables"]["essay"]["type"] == "String"
        assert second["variables"]["short"] == first["variables"]["short"]
        assert second["variables"]["essay"] == {
            "type": "Object",
            "value": json.dumps("é" * 3000, ensure_ascii=False),
            "valueInfo": {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"},
        }

    def test_of_a_value_too_long_without_spin_names_it_at_once(self, site: Site, reporter: Reporter) -> None:
        script(site, {"complete": [TOO_LONG], "message": [said(400, REST, "Unsupported value type 'Json'")]})
        assert reporter.report(dispatch_ref(), LONG_RESULT) is INCIDENT
        paths = [path.rpartition("/")[2] for _, path, _, _ in site.requests]
        assert paths.count("complete") == 1
        assert "variable 'essay'" in json.loads(site.requests[-1][3])["errorMessage"]
