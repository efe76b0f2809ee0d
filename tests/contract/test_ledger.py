"""What is in flight, as all replicas and workers know it; each case holds in memory and on Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.ledger import ReportClaim, Reservation
from procos.testing import dispatch_ref
from tasks.starts import Start

if TYPE_CHECKING:
    from procos.domain.dispatch import DispatchRef
    from tests.contract.ledger_labs import LedgerLab

LEASE = timedelta(seconds=20)
SHORT_LEASE, HALF_TIME = timedelta(milliseconds=400), 0.25
OLD, NEW = dispatch_ref(token=1000), dispatch_ref(token=2000)


def reserve(lab: LedgerLab, ref: DispatchRef, lease: timedelta = LEASE) -> tuple[Reservation, int]:
    (answer,) = lab.ledger.reserve([ref], "ai", lease)
    return answer.reservation, answer.token


def publish(lab: LedgerLab, ref: DispatchRef, lease: timedelta = LEASE) -> None:
    reserve(lab, ref, lease)
    lab.ledger.mark_published([ref])


class TestReserve:
    def test_makes_a_new_entry_and_counts_it_as_in_flight(self, ledger_lab: LedgerLab) -> None:
        assert reserve(ledger_lab, OLD) == (Reservation.NEW, 1000)
        assert ledger_lab.state(OLD) == "reserved"
        assert ledger_lab.ledger.in_flight("ai") == 1
        assert ledger_lab.ledger.in_flight("generic") == 0

    def test_answers_for_each_of_a_batch_in_order(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, dispatch_ref("b", token=1))
        batch = [dispatch_ref(name, token=5) for name in "abc"]
        answers = ledger_lab.ledger.reserve(batch, "ai", LEASE)
        assert [(a.reservation, a.token) for a in answers] == [
            (Reservation.NEW, 5),
            (Reservation.ADOPTED, 1),
            (Reservation.NEW, 5),
        ]

    def test_publishes_again_under_the_old_token_what_was_only_reserved(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, OLD)
        assert reserve(ledger_lab, NEW) == (Reservation.REPUBLISH, 1000)

    @pytest.mark.parametrize("state", ["published", "started", "reporting"])
    def test_adopts_what_is_under_way(self, ledger_lab: LedgerLab, state: str) -> None:
        publish(ledger_lab, OLD)
        if state == "started":
            ledger_lab.start(OLD)
        if state == "reporting":
            ledger_lab.ledger.claim_report(OLD, "ai")
        assert ledger_lab.state(OLD) == state
        assert reserve(ledger_lab, NEW) == (Reservation.ADOPTED, 1000)
        assert ledger_lab.state(OLD) == state

    def test_supersedes_what_backed_off(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30))
        assert reserve(ledger_lab, NEW) == (Reservation.NEW, 2000)
        assert ledger_lab.ledger.until_next_retry() is None


class TestMarkPublished:
    def test_moves_a_reserved_entry_on(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert ledger_lab.state(OLD) == "published"

    def test_never_moves_a_started_one_back(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, OLD)
        ledger_lab.start(OLD)
        ledger_lab.ledger.mark_published([OLD])
        assert ledger_lab.state(OLD) == "started"

    def test_ignores_another_token(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, NEW)
        ledger_lab.ledger.mark_published([OLD])
        assert ledger_lab.state(NEW) == "reserved"


class TestStart:
    def test_counts_and_stops_at_the_limit(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        starts = [ledger_lab.start(OLD, max_starts=2) for _ in range(3)]
        assert starts == [Start.RUN, Start.RUN, Start.TOO_OFTEN]

    def test_counts_each_dispatch_anew(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD, max_starts=1)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(0))
        publish(ledger_lab, NEW)
        assert ledger_lab.start(NEW, max_starts=1) is Start.RUN

    def test_of_another_token_is_superseded(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        assert ledger_lab.start(OLD) is Start.SUPERSEDED

    def test_without_entry_runs(self, ledger_lab: LedgerLab) -> None:
        assert ledger_lab.start(OLD) is Start.RUN


class TestClaimReport:
    def test_counts_and_ends_the_lease(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert ledger_lab.ledger.claim_report(OLD, "ai") is ReportClaim.CLAIMED
        assert ledger_lab.state(OLD) == "reporting"
        assert ledger_lab.ledger.in_flight("ai") == 0

    def test_counts_again_after_an_outage(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        claims = [ledger_lab.ledger.claim_report(OLD, "ai") for _ in range(2)]
        assert claims == [ReportClaim.CLAIMED, ReportClaim.CLAIMED]

    def test_says_when_it_was_reported_before(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30))
        assert ledger_lab.ledger.claim_report(OLD, "ai") is ReportClaim.REPORTED

    def test_says_when_a_newer_dispatch_exists(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        assert ledger_lab.ledger.claim_report(OLD, "ai") is ReportClaim.SUPERSEDED
        assert ledger_lab.ledger.in_flight("ai") == 1

    def test_counts_after_a_flush(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.flush()
        assert ledger_lab.ledger.claim_report(OLD, "ai") is ReportClaim.CLAIMED


class TestBackOff:
    def test_says_when_the_next_retry_falls_due(self, ledger_lab: LedgerLab) -> None:
        assert ledger_lab.ledger.until_next_retry() is None
        ledger_lab.ledger.back_off(dispatch_ref("a"), "ai", timedelta(seconds=60))
        ledger_lab.ledger.back_off(dispatch_ref("b"), "ai", timedelta(seconds=30))
        assert ledger_lab.ledger.until_next_retry() == pytest.approx(30, abs=1)

    def test_never_touches_a_newer_dispatch(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30))
        assert ledger_lab.state(NEW) == "published"

    def test_rebuilds_an_entry_that_was_flushed(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30))
        assert ledger_lab.state(OLD) == "backing_off"
        assert ledger_lab.ledger.claim_report(OLD, "ai") is ReportClaim.REPORTED


class TestClose:
    def test_leaves_nothing_in_flight(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.close(OLD, "ai", "completed")
        assert ledger_lab.state(OLD) is None
        assert ledger_lab.ledger.in_flight("ai") == 0

    def test_of_what_is_unknown_is_no_error(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.close(OLD, "ai", "gone")
        assert ledger_lab.state(OLD) is None


class TestForget:
    def test_removes_what_was_never_published(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, OLD)
        ledger_lab.ledger.forget(OLD.external_task_id, OLD.token, "ai")
        assert ledger_lab.state(OLD) is None
        assert ledger_lab.ledger.in_flight("ai") == 0

    def test_leaves_another_token(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, NEW)
        ledger_lab.ledger.forget(OLD.external_task_id, OLD.token, "ai")
        assert ledger_lab.state(NEW) == "reserved"


class TestLeases:
    def test_fall_due_at_half_time(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD, SHORT_LEASE)
        assert ledger_lab.ledger.claim_due_leases("ai", 10) == []
        ledger_lab.pass_time(HALF_TIME)
        (lease,) = ledger_lab.ledger.claim_due_leases("ai", 10)
        assert (lease.external_task_id, lease.holder, lease.token) == (OLD.external_task_id, OLD.holder, 1000)
        assert (lease.milliseconds, lease.known, lease.extendable) == (400, True, True)

    def test_are_claimed_by_one_replica_at_a_time(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD, SHORT_LEASE)
        ledger_lab.pass_time(HALF_TIME)
        assert len(ledger_lab.ledger.claim_due_leases("ai", 10)) == 1
        assert ledger_lab.ledger.claim_due_leases("ai", 10) == []

    def test_fall_due_again_half_a_lease_after_they_were_extended(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD, SHORT_LEASE)
        ledger_lab.pass_time(HALF_TIME)
        (lease,) = ledger_lab.ledger.claim_due_leases("ai", 10)
        ledger_lab.ledger.mark_extended(lease, "ai")
        assert ledger_lab.ledger.claim_due_leases("ai", 10) == []
        ledger_lab.pass_time(HALF_TIME)
        assert len(ledger_lab.ledger.claim_due_leases("ai", 10)) == 1

    def test_come_in_batches(self, ledger_lab: LedgerLab) -> None:
        for name in "abc":
            publish(ledger_lab, dispatch_ref(name), SHORT_LEASE)
        ledger_lab.pass_time(HALF_TIME)
        sizes = [len(ledger_lab.ledger.claim_due_leases("ai", 2)) for _ in range(3)]
        assert sizes == [2, 1, 0]

    @pytest.mark.parametrize("state", ["reserved", "reporting"])
    def test_of_what_is_not_published_are_not_to_be_extended(self, ledger_lab: LedgerLab, state: str) -> None:
        publish(ledger_lab, OLD, SHORT_LEASE) if state != "reserved" else reserve(ledger_lab, OLD, SHORT_LEASE)
        if state == "reporting":
            ledger_lab.ledger.claim_report(OLD, "ai")
            reserve(ledger_lab, NEW, SHORT_LEASE)
        ledger_lab.pass_time(HALF_TIME)
        assert [lease.extendable for lease in ledger_lab.ledger.claim_due_leases("ai", 10)] == [False]

    def test_of_what_backs_off_are_not_even_due(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD, SHORT_LEASE)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30))
        ledger_lab.pass_time(HALF_TIME)
        assert ledger_lab.ledger.claim_due_leases("ai", 10) == []

    def test_without_entry_are_told_as_unknown_and_can_be_dropped(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD, SHORT_LEASE)
        ledger_lab.ledger.drop_lease(OLD.external_task_id, "ai")
        assert ledger_lab.ledger.in_flight("ai") == 0

    def test_that_were_dropped_do_not_come_back_by_an_extension(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD, SHORT_LEASE)
        ledger_lab.pass_time(HALF_TIME)
        (lease,) = ledger_lab.ledger.claim_due_leases("ai", 10)
        ledger_lab.ledger.close(OLD, "ai", "completed")
        ledger_lab.ledger.mark_extended(lease, "ai")
        assert ledger_lab.ledger.in_flight("ai") == 0


class TestHolders:
    def test_are_ours_once_registered(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.register_holder("a/ai")
        assert ledger_lab.ledger.is_ours("a/ai")
        assert not ledger_lab.ledger.is_ours("stranger")


class TestTokens:
    def test_a_newer_dispatch_than_the_entry_is_started(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert ledger_lab.start(NEW) is Start.RUN
        assert ledger_lab.start(OLD) is Start.SUPERSEDED

    def test_a_dispatch_that_ended_is_not_started_again(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.store_success(OLD)
        assert ledger_lab.start(OLD) is Start.SUPERSEDED
        assert ledger_lab.start(NEW) is Start.RUN

    def test_other_retries_than_the_entrys_make_a_new_dispatch(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        assert reserve(ledger_lab, replace(NEW, retries=2)) == (Reservation.NEW, 2000)

    def test_a_step_fetched_while_its_failure_is_reported_is_told(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.claim_report(OLD, "ai")
        assert reserve(ledger_lab, NEW) == (Reservation.ADOPTED, 1000)
        assert ledger_lab.ledger.back_off(OLD, "ai", timedelta(0)) is True
        assert ledger_lab.ledger.in_flight("ai") == 0
