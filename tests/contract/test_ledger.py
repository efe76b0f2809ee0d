"""The bridge's side of what is in flight, from reservation to end; each case holds in memory and on Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.ledger_values import Ended, ReportClaim, Reservation, new_call
from procos.domain.external_task import ExternalTaskId
from procos.testing import dispatch_ref
from tests.contract.ledger_labs import HALF_TIME, LEASE, NEW, OLD, QUEUE, SHORT_LEASE, claim, publish, reserve

if TYPE_CHECKING:
    from tests.contract.ledger_labs import LedgerLab


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

    @pytest.mark.parametrize("same_try", [True, False])
    def test_supersedes_what_backed_off(self, ledger_lab: LedgerLab, *, same_try: bool) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=same_try)
        assert reserve(ledger_lab, NEW) == (Reservation.NEW, 2000)
        assert ledger_lab.ledger.until_next_retry() is None

    def test_supersedes_what_was_given_up_for_lost(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        (entry,) = ledger_lab.ledger.list_in_flight("ai")
        ledger_lab.ledger.lose(entry)
        assert reserve(ledger_lab, NEW) == (Reservation.NEW, 2000)
        assert ledger_lab.state(NEW) == "reserved"

    @pytest.mark.parametrize("state", ["reserved", "published", "started"])
    def test_supersedes_what_has_other_retries_since_a_failure_was_taken(
        self, ledger_lab: LedgerLab, state: str
    ) -> None:
        reserve(ledger_lab, OLD) if state == "reserved" else publish(ledger_lab, OLD)
        if state == "started":
            ledger_lab.start(OLD)
        assert reserve(ledger_lab, replace(NEW, retries=2)) == (Reservation.NEW, 2000)

    def test_gives_an_adopted_dispatch_the_holder_and_lease_of_the_fetch(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        reserve(ledger_lab, replace(NEW, holder="other/ai"), SHORT_LEASE)
        ledger_lab.pass_time(HALF_TIME)
        (lease,) = ledger_lab.ledger.claim_due_leases("ai", 10)
        assert (lease.holder, lease.token, lease.milliseconds) == ("other/ai", 1000, 400)

    def test_takes_back_that_the_step_was_cancelled(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.cancel(OLD, "ai")
        publish(ledger_lab, NEW)
        assert tuple(ledger_lab.start(NEW)) == (1,)


class TestAge:
    def begin(self, lab: LedgerLab) -> None:
        publish(lab, OLD)
        lab.put_back(OLD, "first_at", seconds=100)

    def age(self, lab: LedgerLab) -> float:
        (entry,) = lab.ledger.list_in_flight("ai")
        return entry.age.total_seconds()

    def test_counts_from_the_first_reservation(self, ledger_lab: LedgerLab) -> None:
        self.begin(ledger_lab)
        assert self.age(ledger_lab) == pytest.approx(100, abs=1)

    def test_goes_on_while_the_step_is_adopted(self, ledger_lab: LedgerLab) -> None:
        self.begin(ledger_lab)
        reserve(ledger_lab, NEW)
        assert self.age(ledger_lab) == pytest.approx(100, abs=1)

    def test_goes_on_over_a_postponement(self, ledger_lab: LedgerLab) -> None:
        self.begin(ledger_lab)
        ledger_lab.ledger.claim_report(OLD, "ai")
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(0), same_try=True)
        reserve(ledger_lab, replace(NEW, retries=3))
        assert self.age(ledger_lab) == pytest.approx(100, abs=1)

    def test_begins_anew_after_a_failure(self, ledger_lab: LedgerLab) -> None:
        self.begin(ledger_lab)
        ledger_lab.ledger.claim_report(OLD, "ai")
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(0), same_try=False)
        reserve(ledger_lab, replace(NEW, retries=2))
        assert self.age(ledger_lab) == pytest.approx(0, abs=1)

    def test_begins_anew_when_a_failure_was_taken_that_is_not_noted(self, ledger_lab: LedgerLab) -> None:
        self.begin(ledger_lab)
        reserve(ledger_lab, replace(NEW, retries=2))
        assert self.age(ledger_lab) == pytest.approx(0, abs=1)

    def test_goes_on_when_a_dispatch_was_lost(self, ledger_lab: LedgerLab) -> None:
        self.begin(ledger_lab)
        (entry,) = ledger_lab.ledger.list_in_flight("ai")
        ledger_lab.ledger.lose(entry)
        reserve(ledger_lab, NEW)
        assert self.age(ledger_lab) == pytest.approx(100, abs=1)


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


class TestClaimReport:
    def test_counts_and_ends_the_lease(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert claim(ledger_lab, OLD) is ReportClaim.CLAIMED
        assert ledger_lab.state(OLD) == "reporting"
        assert ledger_lab.ledger.in_flight("ai") == 0

    def test_counts_again_after_an_outage(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        claims = [claim(ledger_lab, OLD) for _ in range(2)]
        assert claims == [ReportClaim.CLAIMED, ReportClaim.CLAIMED]

    def test_says_when_it_was_reported_before(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        assert claim(ledger_lab, OLD) is ReportClaim.REPORTED

    def test_says_when_a_newer_dispatch_exists(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        assert claim(ledger_lab, OLD) is ReportClaim.SUPERSEDED
        assert ledger_lab.ledger.in_flight("ai") == 1

    def test_says_how_old_the_try_is_and_who_ran_it(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        ledger_lab.put_back(OLD, "first_at", seconds=100)
        for _ in range(2):
            claimed = ledger_lab.ledger.claim_report(OLD, "ai")
            assert claimed.age.total_seconds() == pytest.approx(100, abs=1)
            assert claimed.worker == "worker"

    def test_knows_neither_after_a_flush(self, ledger_lab: LedgerLab) -> None:
        claimed = ledger_lab.ledger.claim_report(OLD, "ai")
        assert (claimed.claim, claimed.age, claimed.worker) == (ReportClaim.CLAIMED, timedelta(0), "")

    def test_takes_the_token_of_a_newer_dispatch_than_the_entrys(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert claim(ledger_lab, NEW) is ReportClaim.CLAIMED
        assert claim(ledger_lab, OLD) is ReportClaim.SUPERSEDED

    def test_says_when_a_newer_dispatch_has_ended_the_step(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        ledger_lab.ledger.close(NEW, "ai", "incident")
        assert claim(ledger_lab, OLD) is ReportClaim.SUPERSEDED

    def test_counts_again_when_this_dispatch_has_ended_the_step(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.close(OLD, "ai", "incident")
        assert claim(ledger_lab, OLD) is ReportClaim.CLAIMED
        assert claim(ledger_lab, NEW) is ReportClaim.CLAIMED

    def test_counts_after_a_flush(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.flush()
        assert claim(ledger_lab, OLD) is ReportClaim.CLAIMED


class TestBackOff:
    def test_says_when_the_next_retry_falls_due(self, ledger_lab: LedgerLab) -> None:
        assert ledger_lab.ledger.until_next_retry() is None
        ledger_lab.ledger.back_off(dispatch_ref("a"), "ai", timedelta(seconds=60), same_try=False)
        ledger_lab.ledger.back_off(dispatch_ref("b"), "ai", timedelta(seconds=30), same_try=False)
        assert ledger_lab.ledger.until_next_retry() == pytest.approx(30, abs=1)

    def test_says_that_a_retry_is_overdue_for_a_minute(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(milliseconds=10), same_try=False)
        ledger_lab.pass_time(0.02)
        assert ledger_lab.ledger.until_next_retry() == 0
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(minutes=-2), same_try=False)
        assert ledger_lab.ledger.until_next_retry() is None

    def test_never_touches_a_newer_dispatch(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        assert ledger_lab.state(NEW) == "published"

    def test_rebuilds_an_entry_that_was_flushed(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        assert ledger_lab.state(OLD) == "backing_off"
        assert claim(ledger_lab, OLD) is ReportClaim.REPORTED

    def test_says_when_the_step_was_fetched_while_its_failure_was_reported(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.claim_report(OLD, "ai")
        assert reserve(ledger_lab, NEW) == (Reservation.ADOPTED, 1000)
        assert ledger_lab.ledger.back_off(OLD, "ai", timedelta(0), same_try=False).fetched_again is True
        assert ledger_lab.ledger.in_flight("ai") == 0
        assert ledger_lab.ledger.back_off(OLD, "ai", timedelta(0), same_try=False).fetched_again is False

    def test_keeps_what_is_told_of_the_retry(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        known = ledger_lab.ledger.known([OLD.external_task_id])[OLD.external_task_id]
        assert known.state == "backing_off"
        assert known.due_at is not None

    def test_says_of_what_try_the_entry_is(self, ledger_lab: LedgerLab) -> None:
        for ref in (OLD, replace(OLD, external_task_id=ExternalTaskId("other"), retries=2)):
            publish(ledger_lab, ref)
            assert ledger_lab.ledger.known([ref.external_task_id])[ref.external_task_id].retries == ref.retries


class TestClose:
    def test_leaves_nothing_in_flight(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert ledger_lab.ledger.close(OLD, "ai", "completed") is not None
        assert ledger_lab.state(OLD) is None
        assert ledger_lab.ledger.in_flight("ai") == 0
        assert ledger_lab.step(OLD) == "completed"

    def test_of_what_is_unknown_is_told(self, ledger_lab: LedgerLab) -> None:
        assert ledger_lab.ledger.close(OLD, "ai", "gone") is None
        assert ledger_lab.state(OLD) is None
        assert ledger_lab.step(OLD) == "gone"

    def test_a_second_time_leaves_the_outcome_as_it_was(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.close(OLD, "ai", "completed")
        assert ledger_lab.ledger.close(OLD, "ai", "gone") is None
        assert ledger_lab.step(OLD) == "completed"

    def test_of_what_went_on_after_an_incident_says_how_that_ended(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.close(OLD, "ai", "incident")
        publish(ledger_lab, NEW)
        assert ledger_lab.ledger.close(NEW, "ai", "completed") is not None
        assert ledger_lab.step(NEW) == "completed"

    def test_again_as_no_answer_came_answers_as_it_did(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, OLD)
        end = Ended(ref=OLD, queue=QUEUE, outcome="completed")
        first = ledger_lab.ledger.close_all([end])
        ledger_lab.pass_time(0.01)
        assert ledger_lab.ledger.close_all([end, replace(end, call=new_call())]) == [*first, None]
        assert first != [None]

    def test_ends_the_wait_for_a_retry(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        ledger_lab.ledger.close(OLD, "ai", "gone")
        assert ledger_lab.ledger.until_next_retry() is None


class TestForget:
    def test_removes_what_was_never_published(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, OLD)
        assert ledger_lab.ledger.forget(OLD.external_task_id, OLD.token, "ai") is True
        assert ledger_lab.state(OLD) is None
        assert ledger_lab.ledger.in_flight("ai") == 0

    def test_leaves_another_token(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, NEW)
        assert ledger_lab.ledger.forget(OLD.external_task_id, OLD.token, "ai") is False
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
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
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


class TestReservationOfAStepThatEnded:
    def test_a_moment_ago_dispatches_nothing(self, ledger_lab: LedgerLab) -> None:
        """The engine answered a fetch and took the result at once; the answer to the fetch came second."""
        reserve(ledger_lab, OLD)
        ledger_lab.ledger.close(OLD, "ai", "completed")
        assert reserve(ledger_lab, NEW) == (Reservation.ENDED, 2000)
        assert ledger_lab.ledger.in_flight("ai") == 0

    def test_in_an_incident_dispatches_it_again(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, OLD)
        ledger_lab.ledger.close(OLD, "ai", "incident")
        assert reserve(ledger_lab, NEW) == (Reservation.NEW, 2000)
