"""How the ledger shows what is in flight, gives up what is lost, and is written anew; in memory and on Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.ledger_values import Known, ReportClaim, Reservation
from procos.domain.external_task import ExternalTaskId
from procos.ledger_keys import State
from procos.testing import dispatch_ref, external_task
from tests.contract.ledger_labs import HALF_TIME, LEASE, NEW, OLD, SHORT_LEASE, claim, publish, reserve

if TYPE_CHECKING:
    from bridge.ledger_values import InFlight
    from tests.contract.ledger_labs import LedgerLab

TASK = external_task()


def only(lab: LedgerLab) -> InFlight:
    (entry,) = lab.ledger.list_in_flight("ai")
    return entry


class TestListInFlight:
    def test_shows_everything_that_is_known_of_an_entry(self, ledger_lab: LedgerLab) -> None:
        ref = replace(OLD, retries=2)
        publish(ledger_lab, ref)
        ledger_lab.start(ref)
        entry = only(ledger_lab)
        assert (entry.ref, entry.state, entry.queue, entry.worker) == (ref, State.STARTED, "ai", "worker")
        assert entry.first_at == entry.reserved_at
        assert entry.reserved_at <= (entry.published_at or 0) <= (entry.seen_at or 0) <= entry.now
        assert entry.last_sign == entry.seen_at
        assert not entry.is_rebuilt

    def test_knows_no_moments_that_have_not_been(self, ledger_lab: LedgerLab) -> None:
        reserve(ledger_lab, OLD)
        entry = only(ledger_lab)
        assert (entry.state, entry.published_at, entry.seen_at, entry.worker) == (State.RESERVED, None, None, "")
        assert entry.last_sign == entry.reserved_at

    def test_leaves_out_other_queues_and_what_backs_off(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        ledger_lab.ledger.reserve([dispatch_ref("other")], "generic", LEASE)
        assert ledger_lab.ledger.list_in_flight("ai") == []
        assert len(ledger_lab.ledger.list_in_flight("generic")) == 1

    def test_shows_what_was_fetched_again_while_it_is_reported(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.claim_report(OLD, "ai")
        assert ledger_lab.ledger.list_in_flight("ai") == []
        reserve(ledger_lab, NEW)
        assert only(ledger_lab).state is State.REPORTING


class TestKnown:
    def test_names_those_with_an_entry_in_whatever_state(self, ledger_lab: LedgerLab) -> None:
        ids = [ExternalTaskId(name) for name in ("reserved", "reporting", "lost", "unknown", "ended")]
        for name in ("reserved", "reporting", "lost", "ended"):
            reserve(ledger_lab, dispatch_ref(name))
        ledger_lab.ledger.claim_report(dispatch_ref("reporting"), "ai")
        (lost,) = [e for e in ledger_lab.ledger.list_in_flight("ai") if e.ref.external_task_id == "lost"]
        ledger_lab.ledger.lose(lost)
        ledger_lab.ledger.close(dispatch_ref("ended"), "ai", "completed")
        assert ledger_lab.ledger.known(ids) == {
            "reserved": Known(state=State.RESERVED, token=OLD.token),
            "reporting": Known(state=State.REPORTING, token=OLD.token),
            "lost": Known(state=State.LOST, token=OLD.token),
        }
        assert ledger_lab.ledger.known([]) == {}

    def test_says_when_a_retry_is_due_by_the_clock_of_the_engine(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        known = ledger_lab.ledger.known([OLD.external_task_id])[OLD.external_task_id]
        fetched_at = OLD.token - LEASE.total_seconds() * 1000
        assert known.due_at == pytest.approx(fetched_at + 30_000, abs=1000)

    @pytest.mark.parametrize("written_by", ["its worker", "its bridge"])
    def test_says_so_by_a_clock_of_its_own_after_a_flush(self, ledger_lab: LedgerLab, written_by: str) -> None:
        ledger_lab.ledger.rebuild([TASK], "ai", LEASE) if written_by == "its bridge" else ledger_lab.beat(OLD)
        ledger_lab.start(OLD)
        now = only(ledger_lab).now
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        known = ledger_lab.ledger.known([OLD.external_task_id])[OLD.external_task_id]
        assert known.due_at == pytest.approx(now + 30_000, abs=1000)

    def test_says_whether_a_retry_is_due_whatever_the_clock_of_the_engine(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(milliseconds=200), same_try=False)
        before = ledger_lab.ledger.known([OLD.external_task_id])[OLD.external_task_id]
        ledger_lab.pass_time(HALF_TIME)
        after = ledger_lab.ledger.known([OLD.external_task_id])[OLD.external_task_id]
        assert (before.is_due, after.is_due) == (False, True)

    def test_forgets_when_the_retry_was_due_that_has_begun(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.back_off(OLD, "ai", timedelta(seconds=30), same_try=False)
        reserve(ledger_lab, NEW)
        known = ledger_lab.ledger.known([OLD.external_task_id])
        assert known == {OLD.external_task_id: Known(state=State.RESERVED, token=NEW.token)}


class TestLose:
    def test_gives_up_what_is_as_it_was_seen(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        assert ledger_lab.ledger.lose(only(ledger_lab)) == 1
        assert (ledger_lab.state(OLD), ledger_lab.ledger.in_flight("ai")) == ("lost", 0)

    def test_counts_the_losses_of_one_try(self, ledger_lab: LedgerLab) -> None:
        for expected in (1, 2, 3):
            publish(ledger_lab, replace(OLD, token=1000 + expected))  # type: ignore[arg-type]  # any number
            assert ledger_lab.ledger.lose(only(ledger_lab)) == expected

    def test_counts_them_anew_after_a_failure(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.lose(only(ledger_lab))
        publish(ledger_lab, replace(NEW, retries=2))
        assert ledger_lab.ledger.lose(only(ledger_lab)) == 1

    def test_leaves_what_has_shown_itself_since(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        seen = only(ledger_lab)
        ledger_lab.pass_time(0.01)
        ledger_lab.beat(OLD)
        assert ledger_lab.ledger.lose(seen) == 0
        assert ledger_lab.state(OLD) == "started"

    def test_leaves_what_was_started_since(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        seen = only(ledger_lab)
        ledger_lab.start(OLD)
        assert ledger_lab.ledger.lose(seen) == 0

    def test_leaves_another_dispatch_and_what_has_ended(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        seen = only(ledger_lab)
        ledger_lab.ledger.close(OLD, "ai", "incident")
        assert ledger_lab.ledger.lose(seen) == 0
        publish(ledger_lab, NEW)
        assert ledger_lab.ledger.lose(seen) == 0
        assert ledger_lab.state(NEW) == "published"

    def test_leaves_what_is_being_reported(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        seen = only(ledger_lab)
        ledger_lab.ledger.claim_report(OLD, "ai")
        assert ledger_lab.ledger.lose(seen) == 0

    def test_lets_its_failure_be_reported_all_the_same(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.ledger.lose(only(ledger_lab))
        assert claim(ledger_lab, OLD) is ReportClaim.CLAIMED


class TestResultThatIsPutAside:
    def silent(self, lab: LedgerLab) -> bool:
        return bool(lab.ledger.list_silent("ai", silence=timedelta(seconds=50), age=timedelta(days=1)))

    def fall_silent(self, lab: LedgerLab) -> None:
        for moment in ("reserved_at", "published_at"):
            lab.put_back(OLD, moment, seconds=100)
        assert self.silent(lab)

    def test_is_a_sign_of_life(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        self.fall_silent(ledger_lab)
        ledger_lab.ledger.mark_parked([OLD])
        assert not self.silent(ledger_lab)
        assert ledger_lab.state(OLD) == "published"

    def test_is_none_of_another_dispatch(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEW)
        self.fall_silent(ledger_lab)
        ledger_lab.ledger.mark_parked([OLD])
        assert self.silent(ledger_lab)

    def test_is_one_of_whatever_a_flush_has_left(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.rebuild([TASK], "ai", LEASE)
        self.fall_silent(ledger_lab)
        ledger_lab.ledger.mark_parked([OLD])
        assert not self.silent(ledger_lab)

    def test_keeps_a_dispatch_that_was_just_missed(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        missed = only(ledger_lab)
        ledger_lab.ledger.mark_parked([OLD])
        assert ledger_lab.ledger.lose(missed) == 0

    def test_of_a_step_that_ended_writes_nothing(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.mark_parked([OLD])
        assert ledger_lab.state(OLD) is None
        assert ledger_lab.ledger.known([OLD.external_task_id]) == {}


class TestRebuild:
    def test_writes_entries_as_of_published_dispatches_whose_token_nobody_knows(self, ledger_lab: LedgerLab) -> None:
        assert ledger_lab.ledger.rebuild([TASK, external_task("task-2")], "ai", LEASE) == 2
        entries = ledger_lab.ledger.list_in_flight("ai")
        assert {entry.ref.external_task_id for entry in entries} == {"task-1", "task-2"}
        for entry in entries:
            assert (entry.state, entry.ref.token, entry.is_rebuilt) == (State.PUBLISHED, 0, True)
            assert (entry.ref.holder, entry.ref.topic, entry.ref.activity_id) == ("bridge/ai", "ai_query", "step")
            assert entry.silence.total_seconds() == pytest.approx(0, abs=1)

    def test_leaves_what_has_an_entry(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        assert ledger_lab.ledger.rebuild([TASK], "ai", LEASE) == 0
        assert only(ledger_lab).ref.token == OLD.token

    def test_leaves_what_has_ended(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.close(OLD, "ai", "completed")
        assert ledger_lab.ledger.rebuild([TASK], "ai", LEASE) == 0
        assert ledger_lab.state(OLD) is None

    def test_has_the_leases_extended(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.rebuild([TASK], "ai", SHORT_LEASE)
        assert ledger_lab.ledger.claim_due_leases("ai", 10) == []
        ledger_lab.pass_time(HALF_TIME)
        (lease,) = ledger_lab.ledger.claim_due_leases("ai", 10)
        assert (lease.holder, lease.milliseconds, lease.extendable) == ("bridge/ai", 400, True)

    def test_lets_every_token_start_and_report(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.rebuild([TASK], "ai", LEASE)
        assert tuple(ledger_lab.start(OLD)) == (1,)
        assert claim(ledger_lab, OLD) is ReportClaim.CLAIMED

    def test_has_the_step_adopted_when_it_is_fetched(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.rebuild([TASK], "ai", LEASE)
        assert reserve(ledger_lab, NEW) == (Reservation.ADOPTED, 0)

    def test_can_be_given_up_for_lost(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.rebuild([TASK], "ai", LEASE)
        assert ledger_lab.ledger.lose(only(ledger_lab)) == 1
        assert reserve(ledger_lab, NEW) == (Reservation.NEW, 2000)


class TestStoredResults:
    def test_are_read_in_order(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.store_result(NEW)
        ids = [OLD.celery_id, NEW.celery_id]
        found = ledger_lab.ledger.stored_results(ids)
        assert [meta and meta["status"] for meta in found] == [None, "SUCCESS"]
        assert ledger_lab.ledger.stored_results([]) == []
