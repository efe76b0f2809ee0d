"""The workers' side of what is in flight: starts, signs of life, cancellation; in memory and on Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos.testing import dispatch_ref
from tests.contract.ledger_labs import LEASE, NEW, OLD, publish, reserve

if TYPE_CHECKING:
    from tests.contract.ledger_labs import LedgerLab

NOT_WANTED, RUNS_ELSEWHERE = -1, -2


class TestStart:
    def test_is_counted(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert [tuple(ledger_lab.start(OLD)) for _ in range(3)] == [(1,), (2,), (3,)]
        assert ledger_lab.state(OLD) == "started"

    def test_is_counted_for_each_dispatch_anew(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(0), same_try=False)
        publish(ledger_lab, NEW)
        assert tuple(ledger_lab.start(NEW)) == (1,)

    def test_of_what_nobody_knows_is_not_counted(self, ledger_lab: LedgerLab) -> None:
        assert tuple(ledger_lab.start(OLD)) == (0,)
        assert ledger_lab.state(OLD) is None

    def test_of_a_newer_dispatch_than_the_entrys_counts(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert tuple(ledger_lab.start(NEW)) == (1,)
        assert tuple(ledger_lab.start(OLD)) == (NOT_WANTED,)

    def test_of_an_older_dispatch_is_not_wanted(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        assert tuple(ledger_lab.start(OLD)) == (NOT_WANTED,)
        assert ledger_lab.state(NEW) == "published"

    def test_is_not_wanted_while_the_outcome_is_reported(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.claim_report(OLD, "ai")
        assert tuple(ledger_lab.start(OLD)) == (NOT_WANTED,)

    def test_is_not_wanted_while_the_step_backs_off(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(0), same_try=False)
        assert tuple(ledger_lab.start(OLD)) == (NOT_WANTED,)

    def test_is_not_wanted_of_what_was_given_up_for_lost(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        (entry,) = ledger_lab.ledger.list_in_flight("ai")
        ledger_lab.ledger.lose(entry)
        assert tuple(ledger_lab.start(OLD)) == (NOT_WANTED,)

    @pytest.mark.parametrize("has_entry", [True, False])
    def test_is_not_wanted_of_what_was_cancelled(self, ledger_lab: LedgerLab, *, has_entry: bool) -> None:
        if has_entry:
            publish(ledger_lab, OLD)
        ledger_lab.ledger.cancel(OLD, "ai")
        assert tuple(ledger_lab.start(OLD)) == (NOT_WANTED,)

    @pytest.mark.parametrize("outcome", ["completed", "bpmn_error", "gone"])
    def test_is_not_wanted_of_a_step_that_ended(self, ledger_lab: LedgerLab, outcome: str) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.close(OLD, "ai", outcome)
        assert tuple(ledger_lab.start(OLD)) == (NOT_WANTED,)

    def test_is_wanted_of_a_step_that_goes_on_after_an_incident(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.close(OLD, "ai", "incident")
        assert tuple(ledger_lab.start(NEW)) == (0,)

    def test_is_not_wanted_of_a_dispatch_whose_result_is_all_that_is_left(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.store_result(OLD)
        assert tuple(ledger_lab.start(OLD)) == (NOT_WANTED,)
        assert tuple(ledger_lab.start(NEW)) == (0,)


class TestSecondCopy:
    def test_waits_while_another_run_was_alive_a_moment_ago(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD, run="first")
        answer, seen_at = ledger_lab.start(OLD, run="second")
        assert answer == RUNS_ELSEWHERE
        (entry,) = ledger_lab.ledger.list_in_flight("ai")
        assert seen_at == entry.seen_at

    def test_takes_over_a_run_that_has_shown_nothing_since(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD, run="first")
        _, seen_at = ledger_lab.start(OLD, run="second")
        assert tuple(ledger_lab.start(OLD, run="second", dead_since=seen_at)) == (2,)

    def test_waits_on_when_the_other_run_has_shown_itself(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD, run="first")
        _, seen_at = ledger_lab.start(OLD, run="second")
        ledger_lab.pass_time(0.01)
        ledger_lab.beat(OLD, run="first")
        assert ledger_lab.start(OLD, run="second", dead_since=seen_at)[0] == RUNS_ELSEWHERE

    def test_takes_over_at_once_what_was_silent_for_long(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD, run="first")
        ledger_lab.put_back(OLD, "seen_at", seconds=11)
        assert tuple(ledger_lab.start(OLD, run="second")) == (2,)

    @pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
    def test_is_not_wanted_when_the_other_run_has_left_its_result(self, ledger_lab: LedgerLab, status: str) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD, run="first")
        ledger_lab.store_result(OLD, status)
        assert tuple(ledger_lab.start(OLD, run="second")) == (NOT_WANTED,)


class TestSignOfLife:
    def test_is_seen(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        ledger_lab.put_back(OLD, "seen_at", seconds=50)
        ledger_lab.put_back(OLD, "published_at", seconds=60)
        ledger_lab.put_back(OLD, "reserved_at", seconds=60)
        (before,) = ledger_lab.ledger.list_in_flight("ai")
        assert ledger_lab.beat(OLD) is False
        (after,) = ledger_lab.ledger.list_in_flight("ai")
        assert before.silence.total_seconds() == pytest.approx(50, abs=1)
        assert after.silence.total_seconds() == pytest.approx(0, abs=1)
        assert after.worker == "worker"

    def test_brings_a_dispatch_back_that_was_given_up_for_lost(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        (entry,) = ledger_lab.ledger.list_in_flight("ai")
        ledger_lab.ledger.lose(entry)
        assert ledger_lab.ledger.in_flight("ai") == 0
        assert ledger_lab.beat(OLD) is False
        assert (ledger_lab.state(OLD), ledger_lab.ledger.in_flight("ai")) == ("started", 1)
        (lease,) = ledger_lab.ledger.claim_due_leases("ai", 10)
        assert lease.extendable

    def test_leaves_a_newer_dispatch_alone(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        assert ledger_lab.beat(OLD) is False
        assert ledger_lab.state(NEW) == "published"

    def test_leaves_alone_what_is_reported_or_backs_off(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.claim_report(OLD, "ai")
        ledger_lab.beat(OLD)
        assert ledger_lab.state(OLD) == "reporting"
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        ledger_lab.beat(OLD)
        assert (ledger_lab.state(OLD), ledger_lab.ledger.in_flight("ai")) == ("backing_off", 0)

    def test_writes_anew_what_a_flush_has_taken(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        ledger_lab.flush()
        assert ledger_lab.beat(OLD) is False
        (entry,) = ledger_lab.ledger.list_in_flight("ai")
        assert (entry.ref, entry.state, entry.queue, entry.worker) == (OLD, "started", "ai", "worker")
        (lease,) = ledger_lab.ledger.claim_due_leases("ai", 10)
        assert (lease.holder, lease.milliseconds, lease.extendable) == (OLD.holder, 0, True)

    def test_writes_nothing_when_the_step_has_ended(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        ledger_lab.ledger.close(OLD, "ai", "completed")
        assert ledger_lab.beat(OLD) is False
        assert (ledger_lab.state(OLD), ledger_lab.ledger.in_flight("ai")) == (None, 0)

    def test_tells_a_rebuilt_entry_which_dispatch_it_is(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, dispatch_ref(token=0))
        ledger_lab.beat(OLD)
        (entry,) = ledger_lab.ledger.list_in_flight("ai")
        assert entry.ref.token == OLD.token


class TestCancel:
    def test_leaves_nothing_in_flight_and_says_whether_there_was_something(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert [ledger_lab.ledger.cancel(OLD, "ai") for _ in range(2)] == [True, False]
        assert (ledger_lab.state(OLD), ledger_lab.ledger.in_flight("ai")) == (None, 0)

    def test_is_told_to_whoever_runs_the_step(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        ledger_lab.ledger.cancel(OLD, "ai")
        assert ledger_lab.beat(OLD) is True
        assert ledger_lab.beat(OLD) is True
        assert ledger_lab.state(OLD) is None

    def test_ends_the_wait_for_a_retry(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        ledger_lab.ledger.cancel(OLD, "ai")
        assert ledger_lab.ledger.until_next_retry() is None

    def test_is_told_of_one_step_alone(self, ledger_lab: LedgerLab) -> None:
        other = dispatch_ref("other")
        publish(ledger_lab, other)
        ledger_lab.ledger.cancel(OLD, "ai")
        assert ledger_lab.beat(other) is False


class TestOvertaken:
    def test_is_when_the_youngest_dispatch_that_was_started_had_been_published(self, ledger_lab: LedgerLab) -> None:
        first, second, third = (dispatch_ref(name) for name in ("first", "second", "third"))
        for ref in (first, second, third):
            publish(ledger_lab, ref)
            ledger_lab.pass_time(0.005)
        published = {e.ref.external_task_id: e.published_at for e in ledger_lab.ledger.list_in_flight("ai")}
        assert ledger_lab.ledger.overtaken_at("ai") == 0
        ledger_lab.start(second)
        assert ledger_lab.ledger.overtaken_at("ai") == published[second.external_task_id]
        ledger_lab.start(first)
        assert ledger_lab.ledger.overtaken_at("ai") == published[second.external_task_id]
        assert ledger_lab.ledger.overtaken_at("generic") == 0

    def test_counts_from_the_reservation_of_what_is_started_before_it_is_known_as_published(
        self, ledger_lab: LedgerLab
    ) -> None:
        reserve(ledger_lab, OLD, LEASE)
        (entry,) = ledger_lab.ledger.list_in_flight("ai")
        ledger_lab.start(OLD)
        assert ledger_lab.ledger.overtaken_at("ai") == entry.reserved_at
