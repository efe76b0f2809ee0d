"""How a dispatch ended, on the wire: envelopes, failures, and what is not one."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from kombu.utils import json as wire

from procos.domain.errors import (
    BlobsUnreachableError,
    BusinessError,
    DispatchError,
    PermanentError,
    RateLimited,
    TransientError,
    VariableError,
)
from procos.domain.outcome import (
    BpmnError,
    Completion,
    Failure,
    Outcome,
    Postponement,
    TaskFailed,
    failure_from_json,
    failure_to_json,
    from_envelope,
    outcome_of,
    to_envelope,
)

SOON = timedelta(seconds=7)


class TestOutcomeOf:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (
                BusinessError("REFUSED", "no", variables={"why": "x"}),
                BpmnError(code="REFUSED", message="no", variables={"why": "x"}),
            ),
            (RateLimited("slow down", retry_in=SOON), Postponement(reason="slow down", retry_in=SOON)),
            (TransientError("again", retry_in=SOON), Failure(message="again", retry_in=SOON)),
            (PermanentError("never", code="BAD"), Failure(message="never", code="BAD", permanent=True)),
            (
                VariableError("x", "too long"),
                Failure(message="variable 'x': too long", code="VARIABLE", permanent=True),
            ),
            (
                BlobsUnreachableError("s3://b", "away", cure=""),
                Failure(message="the blob store at s3://b cannot be reached: away.", code="BLOBS_UNREACHABLE"),
            ),
            (KeyError("a"), Failure(message="KeyError: 'a'", code="KeyError")),
        ],
    )
    def test_maps_what_a_task_raised(self, error: Exception, expected: Outcome) -> None:
        assert outcome_of(error) == expected


class TestEnvelope:
    @pytest.mark.parametrize(
        "outcome",
        [
            Completion(),
            Completion(variables={"text": "naïve", "list": [1, None]}),
            BpmnError(code="REFUSED", message="no", variables={"a": 1}),
            Postponement(retry_in=SOON, reason="busy"),
        ],
    )
    def test_comes_back_as_it_went(self, outcome: Completion | BpmnError | Postponement) -> None:
        assert from_envelope(wire.loads(wire.dumps(to_envelope(outcome)))) == outcome

    def test_does_not_show_the_contents_of_variables(self) -> None:
        shown = repr(to_envelope(Completion(variables={"secret": "hunter2"})))
        assert "secret" in shown
        assert "hunter2" not in shown

    @pytest.mark.parametrize(
        "source",
        [
            None,
            "text",
            [],
            {},
            {"kind": "completion"},
            {"procos": 2, "kind": "completion", "variables": {}},
            {"procos": 1},
            {"procos": 1, "kind": "surprise"},
            {"procos": 1, "kind": "completion", "variables": []},
            {"procos": 1, "kind": "completion"},
            {"procos": 1, "kind": "bpmn_error", "variables": {}},
            {"procos": 1, "kind": "postponement", "retry_in": "soon", "reason": ""},
            {"procos": 1, "kind": "postponement", "retry_in": float("inf"), "reason": ""},
            {"procos": 1, "kind": "postponement", "retry_in": float("nan"), "reason": ""},
        ],
    )
    def test_refuses_what_is_none(self, source: object) -> None:
        with pytest.raises(DispatchError):
            from_envelope(source)

    def test_names_both_versions_when_they_differ(self) -> None:
        with pytest.raises(DispatchError, match=r"version 2.*version 1"):
            from_envelope({"procos": 2, "kind": "completion", "variables": {}})


class TestFailureJson:
    @pytest.mark.parametrize(
        "failure",
        [
            Failure(message="m"),
            Failure(message="m", details="d", code="C", permanent=True),
            Failure(message="m", retry_in=SOON),
            Failure(message="m", worker="ai-7@host"),
        ],
    )
    def test_comes_back_as_it_went(self, failure: Failure) -> None:
        assert failure_from_json(failure_to_json(failure)) == failure

    @pytest.mark.parametrize(
        "text",
        ["", "plain", "[]", "null", "{}", json.dumps({"message": "m", "retry_in": "soon"}), '{"retry_in": 1e999}'],
    )
    def test_takes_any_other_text_as_the_message(self, text: str) -> None:
        assert failure_from_json(text) == Failure(message=text)

    def test_is_read_from_workers_that_do_not_name_themselves(self) -> None:
        fields = json.loads(failure_to_json(Failure(message="m", code="C", worker="w")))
        del fields["worker"]
        assert failure_from_json(json.dumps(fields)) == Failure(message="m", code="C")

    def test_reads_as_code_and_message_in_flower(self) -> None:
        assert str(TaskFailed(failure_to_json(Failure(message="no answer", code="TIMEOUT")))) == "TIMEOUT: no answer"
