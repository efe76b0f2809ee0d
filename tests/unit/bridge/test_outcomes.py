"""Reading a callback: which dispatch, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bridge.outcomes import LARGEST_BODY, failure_of, read_callback
from procos.domain.errors import DispatchError, LedgerUnreachableError, NewerVersionError
from procos.domain.outcome import Completion, Failure, failure_to_json, to_envelope
from procos.testing import dispatch_ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.testing import FakeLedger

REF = dispatch_ref()
KWARGS = {"dispatch": REF.to_json()}
ENVELOPE = dict(to_envelope(Completion(variables={"a": 1})).fields)


def stored(kind: str, *arguments: object) -> dict[str, Any]:
    return {"status": "FAILURE", "result": {"exc_type": kind, "exc_message": list(arguments)}, "traceback": "where"}


class TestReadCallback:
    def test_reads_a_success_from_the_message(self, message: Callable[..., Any], ledger: FakeLedger) -> None:
        callback = read_callback(message("procos.complete", ([ENVELOPE], KWARGS, {})), ledger)
        assert (callback.ref, callback.outcome) == (REF, Completion(variables={"a": 1}))

    def test_reads_a_failure_from_the_stored_result(self, message: Callable[..., Any], ledger: FakeLedger) -> None:
        failure = Failure(message="never", code="BAD", permanent=True)
        ledger.results[REF.celery_id] = stored("TaskFailed", failure_to_json(failure))
        callback = read_callback(message("procos.fail", ([REF.celery_id], KWARGS, {})), ledger)
        assert (callback.ref, callback.outcome) == (REF, failure)

    def test_waits_for_the_ledger_to_read_a_failure(self, message: Callable[..., Any], ledger: FakeLedger) -> None:
        ledger.is_down = True
        with pytest.raises(LedgerUnreachableError):
            read_callback(message("procos.fail", (["id"], KWARGS, {})), ledger)

    @pytest.mark.parametrize(
        "payload",
        [
            None,
            "text",
            [],
            ([ENVELOPE], KWARGS),
            ([], KWARGS, {}),
            ([ENVELOPE, 2], KWARGS, {}),
            ([ENVELOPE], [], {}),
            ([ENVELOPE], {}, {}),
            ([ENVELOPE], {"dispatch": {**REF.to_json(), "v": 9}}, {}),
            ([{**ENVELOPE, "procos": 9}], KWARGS, {}),
        ],
    )
    def test_refuses_what_is_no_callback(
        self, message: Callable[..., Any], ledger: FakeLedger, payload: object
    ) -> None:
        with pytest.raises(DispatchError):
            read_callback(message("procos.complete", payload), ledger)

    @pytest.mark.parametrize("result", [{"answer": 42}, None, {"procos": 1, "kind": "nothing"}])
    def test_makes_a_failure_of_a_result_that_is_no_envelope(
        self, message: Callable[..., Any], ledger: FakeLedger, result: object
    ) -> None:
        outcome = read_callback(message("procos.complete", ([result], KWARGS, {})), ledger).outcome
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.permanent) == ("RESULT_UNREADABLE", True)

    def test_says_that_a_message_is_of_a_newer_version(self, message: Callable[..., Any], ledger: FakeLedger) -> None:
        with pytest.raises(NewerVersionError):
            read_callback(message("procos.complete", ([{**ENVELOPE, "procos": 9}], KWARGS, {})), ledger)

    def test_believes_a_stored_success_over_the_callback_of_a_failure(
        self, message: Callable[..., Any], ledger: FakeLedger
    ) -> None:
        ledger.results[REF.celery_id] = {"status": "SUCCESS", "result": ENVELOPE}
        callback = read_callback(message("procos.fail", ([REF.celery_id], KWARGS, {})), ledger)
        assert callback.outcome == Completion(variables={"a": 1})

    def test_refuses_another_name(self, message: Callable[..., Any], ledger: FakeLedger) -> None:
        with pytest.raises(DispatchError, match=r"procos\.surprise"):
            read_callback(message("procos.surprise", ([ENVELOPE], KWARGS, {})), ledger)

    def test_refuses_what_is_too_large_without_parsing_it(
        self, message: Callable[..., Any], ledger: FakeLedger
    ) -> None:
        large = message("procos.complete", None, body=bytes(LARGEST_BODY + 1))
        with pytest.raises(DispatchError, match=str(LARGEST_BODY)):
            read_callback(large, ledger)


class TestFailureOf:
    @pytest.mark.parametrize("meta", [None, {}, {"status": "FAILURE"}, {"result": None}, {"result": "text"}])
    def test_says_that_nothing_is_stored(self, meta: dict[str, Any] | None) -> None:
        assert failure_of(meta).code == "RESULT_MISSING"

    def test_reads_a_foreign_exception_without_building_it(self) -> None:
        failure = failure_of(stored("WorkerLostError", "signal 9"))
        assert failure == Failure(message="WorkerLostError: signal 9", details="where", code="WorkerLostError")

    def test_makes_an_unregistered_task_final(self) -> None:
        assert failure_of(stored("NotRegistered", "procos.x")).permanent

    @pytest.mark.parametrize("arguments", [(), (7,), ({"a": 1},)])
    def test_survives_arguments_of_any_kind(self, arguments: tuple[object, ...]) -> None:
        assert failure_of(stored("TaskFailed", *arguments)).message.startswith("TaskFailed: ")
