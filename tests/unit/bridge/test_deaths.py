"""Reading a dead letter: which dispatch, and the words for how it ended."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.deaths import CAUSE, cause_of, dispatch_in, outcome_of_death
from bridge.outcomes import LARGEST_BODY
from procos.domain.errors import DispatchError, NewerVersionError
from procos.domain.outcome import Completion, Failure, failure_to_json, to_envelope
from procos.testing import dispatch_ref

REF = dispatch_ref()
BODY = json.dumps([[], {"dispatch": REF.to_json(), "variables": {"password": "hunter2"}}, {"callbacks": None}])
ENVELOPE = dict(to_envelope(Completion(variables={"a": 1})).fields)


def message(body: object = BODY, *, cause: str = "", content_type: str = "application/json") -> Any:
    deaths = [{"queue": "ai", "reason": cause, "count": 1}] if cause else []
    return SimpleNamespace(
        body=body.encode() if isinstance(body, str) else body,
        content_type=content_type,
        headers={"task": "procos.ai_query", "x-death": deaths},
    )


def with_headers(headers: dict[str, object]) -> Any:
    return SimpleNamespace(headers=headers)


def failed(kind: str, *arguments: object) -> dict[str, Any]:
    return {"status": "FAILURE", "result": {"exc_type": kind, "exc_message": list(arguments)}}


class TestDispatchIn:
    def test_reads_which_dispatch_it_is(self) -> None:
        assert dispatch_in(message()) == REF

    def test_reads_it_whatever_content_type_is_claimed(self) -> None:
        assert dispatch_in(message(content_type="application/x-python-serialize")) == REF

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            None,
            b"garbage",
            b"\xff\xfe",
            b"\x80\x04\x95 a pickle",
            b"{}",
            b"[]",
            b"null",
            b"[[], {}]",
            b"[[], {}, {}]",
            b"[[], [], {}]",
            b'[[], {"dispatch": 1}, {}]',
            b"[" * 100_000,
            b'{"a":' * 100_000,
        ],
    )
    def test_refuses_what_carries_no_identity(self, body: bytes) -> None:
        with pytest.raises(DispatchError):
            dispatch_in(message(body))

    def test_does_not_parse_a_body_beyond_the_limit(self) -> None:
        with pytest.raises(DispatchError, match="bytes"):
            dispatch_in(message(b" " * (LARGEST_BODY + 1)))

    def test_tells_a_newer_version_from_garbage(self) -> None:
        with pytest.raises(NewerVersionError):
            dispatch_in(message(json.dumps([[], {"dispatch": {**REF.to_json(), "v": 2}}, {}])))


class TestCauseOf:
    def test_is_the_brokers_word_for_this_queue(self) -> None:
        deaths = [{"queue": "generic", "reason": "expired"}, {"queue": "ai", "reason": "rejected"}]
        assert cause_of(with_headers({"x-death": deaths}), "ai") == "rejected"

    def test_is_kept_when_the_message_was_put_off(self) -> None:
        assert cause_of(with_headers({CAUSE: "delivery_limit"}), "ai") == "delivery_limit"

    @pytest.mark.parametrize("deaths", [None, "rejected", [], [1], [{}], [{"queue": "other", "reason": "rejected"}]])
    def test_is_empty_where_the_header_cannot_be_believed(self, deaths: object) -> None:
        assert cause_of(with_headers({"x-death": deaths}), "ai") == ""


class TestOutcomeOfDeath:
    @pytest.mark.parametrize(
        ("cause", "code", "words"),
        [
            ("delivery_limit", "DELIVERY_LIMIT", "'procos.ai_query' was delivered 6 times without an answer"),
            ("rejected", "REJECTED", "'ai' refused"),
            ("expired", "DEAD_LETTERED", "'expired'"),
            ("", "DEAD_LETTERED", "the log of its workers"),
        ],
    )
    def test_puts_the_brokers_reason_into_words(self, cause: str, code: str, words: str) -> None:
        outcome = outcome_of_death(message(cause=cause), "ai", None)
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.permanent) == (code, True)
        assert words in outcome.message

    def test_names_a_content_type_that_is_not_accepted(self) -> None:
        outcome = outcome_of_death(message(cause="rejected", content_type="text/plain"), "ai", None)
        assert isinstance(outcome, Failure)
        assert "its content is 'text/plain' instead of 'application/json'" in outcome.message

    def test_asks_whether_the_package_of_an_unknown_task_is_installed(self) -> None:
        stored = failed("NotRegistered", "procos.ai_query")
        outcome = outcome_of_death(message(cause="rejected"), "ai", stored)
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.permanent) == ("NOT_REGISTERED", True)
        assert outcome.message.startswith("no worker knows the task 'procos.ai_query': is the package installed")

    def test_is_the_result_of_a_task_that_ended_well_with_its_acknowledgement_lost(self) -> None:
        stored = {"status": "SUCCESS", "result": ENVELOPE}
        assert outcome_of_death(message(cause="delivery_limit"), "ai", stored) == Completion(variables={"a": 1})

    def test_is_the_failure_a_task_ended_with(self) -> None:
        failure = Failure(message="not this time")
        stored = failed("TaskFailed", failure_to_json(failure))
        assert outcome_of_death(message(cause="delivery_limit"), "ai", stored) == failure

    def test_is_not_what_is_stored_of_a_task_under_way(self) -> None:
        outcome = outcome_of_death(message(cause="delivery_limit"), "ai", {"status": "STARTED", "result": {}})
        assert isinstance(outcome, Failure)
        assert outcome.code == "DELIVERY_LIMIT"

    def test_never_tells_the_contents_of_variables(self) -> None:
        assert "hunter2" not in repr(outcome_of_death(message(cause="rejected"), "ai", None))
