"""Leases are handed out before they are due when a share of them is asked for; on Redis and in memory alike."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.external_task import ExternalTaskId
from procos.ledger_keys import State
from procos.testing import dispatch_ref
from tests.contract.ledger_labs import HALF_TIME, LEASE, SHORT_LEASE, publish

if TYPE_CHECKING:
    from tests.contract.ledger_labs import LedgerLab

NEXT, LATER, LAST = (dispatch_ref(name) for name in ("next", "later", "last"))


def given(lab: LedgerLab) -> None:
    """Have three leases in flight, due in the order of their names."""
    for ref, factor in ((LAST, 3), (NEXT, 1), (LATER, 2)):
        publish(lab, ref, factor * LEASE)


def claimed(lab: LedgerLab, limit: int = 10, **options: int) -> list[str]:
    return [lease.external_task_id for lease in lab.ledger.claim_due_leases("ai", limit, **options)]


class TestShare:
    def test_brings_what_falls_due_next(self, ledger_lab: LedgerLab) -> None:
        given(ledger_lab)
        assert claimed(ledger_lab, share=2) == [NEXT.external_task_id, LATER.external_task_id]

    def test_is_made_up_of_what_is_due_first(self, ledger_lab: LedgerLab) -> None:
        given(ledger_lab)
        due = dispatch_ref("due")
        publish(ledger_lab, due, SHORT_LEASE)
        ledger_lab.pass_time(HALF_TIME)
        assert claimed(ledger_lab, share=2) == [due.external_task_id, NEXT.external_task_id]

    def test_is_one_replicas_at_a_time(self, ledger_lab: LedgerLab) -> None:
        given(ledger_lab)
        assert claimed(ledger_lab, share=1) == [NEXT.external_task_id]
        assert claimed(ledger_lab, share=1) == []
        ledger_lab.pass_time(1)
        assert claimed(ledger_lab, share=1) == [LATER.external_task_id]

    def test_leaves_what_another_is_extending(self, ledger_lab: LedgerLab) -> None:
        due = dispatch_ref("due")
        publish(ledger_lab, due, SHORT_LEASE)
        ledger_lab.pass_time(HALF_TIME)
        assert claimed(ledger_lab) == [due.external_task_id]
        assert claimed(ledger_lab, share=1) == []


class TestDueWithin:
    def test_counts_up_to_each_time(self, ledger_lab: LedgerLab) -> None:
        given(ledger_lab)
        horizons = [timedelta(seconds=seconds) for seconds in (5, 10, 25, 60)]
        assert ledger_lab.ledger.due_within("ai", horizons) == [0, 1, 2, 3]
        assert ledger_lab.ledger.due_within("generic", horizons) == [0, 0, 0, 0]


class TestInFlight:
    def test_is_listed_by_state(self, ledger_lab: LedgerLab) -> None:
        given(ledger_lab)
        ledger_lab.start(LATER)
        listed = {
            state: [entry.ref.external_task_id for entry in ledger_lab.ledger.list_in_flight("ai", state)]
            for state in (None, State.PUBLISHED, State.STARTED, State.RESERVED)
        }
        assert listed == {
            None: [NEXT.external_task_id, LATER.external_task_id, LAST.external_task_id],
            State.PUBLISHED: [NEXT.external_task_id, LAST.external_task_id],
            State.STARTED: [LATER.external_task_id],
            State.RESERVED: [],
        }

    def test_is_read_by_its_ids_and_what_has_no_entry_is_left_out(self, ledger_lab: LedgerLab) -> None:
        given(ledger_lab)
        assert ledger_lab.ledger.ids_in_flight("ai") == [ref.external_task_id for ref in (NEXT, LATER, LAST)]
        ids = [LAST.external_task_id, ExternalTaskId("unknown"), NEXT.external_task_id]
        assert [entry.ref for entry in ledger_lab.ledger.read_in_flight("ai", ids)] == [LAST, NEXT]
        assert ledger_lab.ledger.read_in_flight("ai", []) == []

    def test_is_silent_when_it_has_not_shown_itself_for_long_or_is_old(self, ledger_lab: LedgerLab) -> None:
        def silent(*, silence: int, age: int) -> list[str]:
            found = ledger_lab.ledger.list_silent("ai", silence=timedelta(seconds=silence), age=timedelta(seconds=age))
            return [entry.ref.external_task_id for entry in found]

        given(ledger_lab)
        assert silent(silence=2, age=2) == []
        ledger_lab.pass_time(3)
        ledger_lab.start(LATER)
        assert silent(silence=2, age=60) == [NEXT.external_task_id, LAST.external_task_id]
        assert silent(silence=60, age=2) == [ref.external_task_id for ref in (NEXT, LATER, LAST)]
        assert silent(silence=60, age=60) == []


class TestAnExtension:
    def test_tells_what_has_become_of_the_dispatch_meanwhile(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, NEXT)
        (lease,) = ledger_lab.ledger.claim_due_leases("ai", 1, share=1)
        assert ledger_lab.ledger.mark_extended(lease, "ai") is State.PUBLISHED
        ledger_lab.ledger.claim_report(NEXT, "ai")
        ledger_lab.ledger.back_off(NEXT, "ai", LEASE, same_try=False)
        assert ledger_lab.ledger.mark_extended(lease, "ai") is State.BACKING_OFF
        ledger_lab.ledger.close(NEXT, "ai", "completed")
        assert ledger_lab.ledger.mark_extended(lease, "ai") is None
