"""Caps, slots and what drains, as bridge and workers count them; each case holds in memory and on Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.ledger_values import Demand, Reservation
from procos.caps import Cap
from procos.domain.external_task import Token, Topic
from procos.testing import dispatch_ref
from procos.testing.samples import external_task
from tests.contract.ledger_labs import LEASE, NEW, OLD, publish, reserve

if TYPE_CHECKING:
    from tests.contract.ledger_labs import LedgerLab

TWO = Cap(name="topic.ai_query", at_once=2, queues=("ai",))
SHARED = Cap(name="limit.crm", at_once=3, queues=("ai", "generic"))
CAPS = {Topic("ai_query"): (TWO, SHARED), Topic("mail"): (SHARED,)}
LATER = Token(2000)
A, B, C = (dispatch_ref(name, token=1000) for name in "abc")


class TestCaps:
    @pytest.fixture(autouse=True)
    def capped(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.cap(CAPS)

    def taken(self, lab: LedgerLab) -> tuple[int, int]:
        usage = lab.ledger.usage("ai", (TWO, SHARED))
        return usage.taken[TWO.name], usage.taken[SHARED.name]

    def mail(self, lab: LedgerLab, name: str) -> Reservation:
        (answer,) = lab.ledger.reserve([dispatch_ref(name, topic="mail", holder="bridge/generic")], "generic", LEASE)
        return answer.reservation

    def test_are_empty_at_first(self, ledger_lab: LedgerLab) -> None:
        assert self.taken(ledger_lab) == (0, 0)
        assert ledger_lab.ledger.usage("ai").in_flight == 0

    def test_give_no_more_places_than_they_have(self, ledger_lab: LedgerLab) -> None:
        answers = ledger_lab.ledger.reserve([A, B, C], "ai", LEASE)
        assert [answer.reservation for answer in answers] == [Reservation.NEW, Reservation.NEW, Reservation.FULL]
        assert self.taken(ledger_lab) == (2, 2)
        assert ledger_lab.state(C) is None
        assert ledger_lab.ledger.in_flight("ai") == 2

    def test_are_shared_by_topics_of_several_queues(self, ledger_lab: LedgerLab) -> None:
        assert self.mail(ledger_lab, "m1") is Reservation.NEW
        assert self.mail(ledger_lab, "m2") is Reservation.NEW
        assert reserve(ledger_lab, A)[0] is Reservation.NEW
        assert self.taken(ledger_lab) == (1, 3)
        assert reserve(ledger_lab, B)[0] is Reservation.FULL
        assert self.mail(ledger_lab, "m3") is Reservation.FULL

    @pytest.mark.parametrize("end", ["close", "cancel", "forget", "lose", "claim"])
    def test_have_a_place_again_when_a_try_ends(self, ledger_lab: LedgerLab, end: str) -> None:
        publish(ledger_lab, A)
        publish(ledger_lab, B)
        self.end(ledger_lab, end)
        assert self.taken(ledger_lab) == (1, 1)
        assert reserve(ledger_lab, C)[0] is Reservation.NEW
        assert self.taken(ledger_lab) == (2, 2)

    def end(self, lab: LedgerLab, how: str) -> None:
        """End the try of A."""
        ledger = lab.ledger
        match how:
            case "close":
                ledger.close(A, "ai", "completed")
            case "cancel":
                ledger.cancel(A, "ai")
            case "forget":
                ledger.forget(A.external_task_id, A.token, "ai")
            case "lose":
                ledger.lose(
                    next(e for e in ledger.list_in_flight("ai") if e.ref.external_task_id == A.external_task_id)
                )
            case _:
                ledger.claim_report(A, "ai")
                ledger.back_off(A, "ai", timedelta(seconds=30), same_try=False)

    def test_take_back_what_is_fetched_again_though_they_are_full(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, A)
        reserve(ledger_lab, B)
        again = [replace(ref, token=LATER) for ref in (A, B)]
        answers = [answer.reservation for answer in ledger_lab.ledger.reserve(again, "ai", LEASE)]
        assert answers == [Reservation.ADOPTED, Reservation.REPUBLISH]
        assert self.taken(ledger_lab) == (2, 2)

    def test_count_what_was_reported_and_fetched_again_at_the_same_moment(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, A)
        ledger_lab.ledger.claim_report(A, "ai")
        assert reserve(ledger_lab, replace(A, token=LATER))[0] is Reservation.ADOPTED
        assert self.taken(ledger_lab) == (1, 1)

    def test_let_a_newer_try_have_the_place_of_the_one_it_replaces(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, A)
        publish(ledger_lab, B)
        assert reserve(ledger_lab, replace(A, token=LATER, retries=2))[0] is Reservation.NEW
        assert self.taken(ledger_lab) == (2, 2)

    @pytest.mark.parametrize("before", ["lost", "backing_off"])
    def test_leave_an_entry_as_it_was_when_they_are_full(self, ledger_lab: LedgerLab, before: str) -> None:
        publish(ledger_lab, A)
        self.end(ledger_lab, "lose" if before == "lost" else "claim")
        ledger_lab.ledger.reserve([B, C], "ai", LEASE)
        retries = 2 if before == "backing_off" else A.retries
        assert reserve(ledger_lab, replace(A, token=LATER, retries=retries)) == (Reservation.FULL, 2000)
        assert ledger_lab.state(A) == before

    def test_count_what_is_rebuilt(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.ledger.rebuild([external_task(name, topic="ai_query") for name in "abc"], "ai", LEASE)
        assert self.taken(ledger_lab) == (3, 3)
        assert reserve(ledger_lab, NEW)[0] is Reservation.FULL

    @pytest.mark.parametrize("before", ["flushed", "lost"])
    def test_count_what_shows_itself_alive_after_all(self, ledger_lab: LedgerLab, before: str) -> None:
        publish(ledger_lab, A)
        ledger_lab.start(A)
        ledger_lab.flush() if before == "flushed" else self.end(ledger_lab, "lose")
        assert self.taken(ledger_lab) == (0, 0)
        ledger_lab.beat(A)
        assert self.taken(ledger_lab) == (1, 1)

    def test_are_unknown_to_topics_without_one(self, ledger_lab: LedgerLab) -> None:
        free = [dispatch_ref(f"free-{number}", topic="free") for number in range(5)]
        answers = ledger_lab.ledger.reserve(free, "ai", LEASE)
        assert {answer.reservation for answer in answers} == {Reservation.NEW}
        assert self.taken(ledger_lab) == (0, 0)


class TestDemand:
    def starts(self, lab: LedgerLab, queue: str = "ai") -> int:
        return lab.ledger.demand(queue).starts

    def test_is_nothing_at_first(self, ledger_lab: LedgerLab) -> None:
        assert ledger_lab.ledger.demand("ai") == Demand()

    def test_counts_every_start_once(self, ledger_lab: LedgerLab) -> None:
        for ref in (OLD, A):
            publish(ledger_lab, ref)
            ledger_lab.start(ref)
        assert self.starts(ledger_lab) == 2
        assert ledger_lab.start(A, run="copy")[0] < 0
        assert self.starts(ledger_lab) == 2
        assert self.starts(ledger_lab, "generic") == 0

    def test_counts_no_end_of_what_waited_for_an_outage(self, ledger_lab: LedgerLab) -> None:
        publish(ledger_lab, OLD)
        ledger_lab.start(OLD)
        publish(ledger_lab, A)
        ledger_lab.ledger.close(OLD, "ai", "completed")
        ledger_lab.ledger.claim_report(A, "ai")
        ledger_lab.ledger.back_off(A, "ai", timedelta(seconds=30), same_try=False)
        assert self.starts(ledger_lab) == 1

    def test_adds_up_the_slots_of_all_workers_of_a_queue(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.show_slots("one", ["ai", "generic"], 16, 60_000)
        ledger_lab.show_slots("other", ["ai"], 4, 60_000)
        ledger_lab.show_slots("other", ["ai"], 4, 60_000)
        assert [ledger_lab.ledger.demand(queue).slots for queue in ("ai", "generic", "third")] == [20, 16, 0]

    def test_forgets_slots_that_are_not_shown_again(self, ledger_lab: LedgerLab) -> None:
        ledger_lab.show_slots("one", ["ai"], 16, 60_000)
        ledger_lab.show_slots("gone", ["ai"], 4, 100)
        ledger_lab.pass_time(0.15)
        assert ledger_lab.ledger.demand("ai").slots == 16
