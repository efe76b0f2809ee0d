"""A step that has ended is fenced off, however many its instance has had; each case holds in memory and on Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bridge.ledger_values import ReportClaim, Reservation
from procos import ledger_keys as keys
from procos.testing import dispatch_ref, external_task
from tests.contract.ledger_labs import LEASE, NEW, OLD, claim, publish, reserve

if TYPE_CHECKING:
    from tests.contract.ledger_labs import LedgerLab

NOT_WANTED = -1


@pytest.fixture(params=["few", "many"])
def lab(ledger_lab: LedgerLab, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> LedgerLab:
    """A ledger in which the process instance of the case has ended a step, or as many as are kept for people."""
    monkeypatch.setattr(keys, "MOST_STEPS", 1 if request.param == "many" else 1000)
    other = replace(dispatch_ref("other"), process_instance_id=OLD.process_instance_id)
    ledger_lab.ledger.close(other, "ai", "completed")
    return ledger_lab


def end(lab: LedgerLab, outcome: str = "completed") -> None:
    publish(lab, OLD)
    lab.start(OLD)
    lab.ledger.close(OLD, "ai", outcome)


class TestStepThatHasEnded:
    def test_is_not_dispatched_for_a_fetch_whose_answer_was_on_its_way(self, lab: LedgerLab) -> None:
        end(lab)
        assert reserve(lab, NEW) == (Reservation.ENDED, 2000)

    def test_is_not_written_anew_for_a_sign_of_life(self, lab: LedgerLab) -> None:
        end(lab)
        assert lab.beat(OLD) is False
        assert (lab.state(OLD), lab.ledger.in_flight("ai")) == (None, 0)

    def test_is_not_written_anew_by_a_bridge(self, lab: LedgerLab) -> None:
        end(lab)
        assert lab.ledger.rebuild([external_task()], "ai", LEASE) == 0

    def test_is_not_started_by_a_late_copy_of_its_message(self, lab: LedgerLab) -> None:
        end(lab)
        assert tuple(lab.start(OLD)) == (NOT_WANTED,)

    def test_has_ended_once(self, lab: LedgerLab) -> None:
        end(lab)
        lab.ledger.close(OLD, "ai", "gone")
        assert lab.step(OLD) == "completed"


class TestStepThatHasEndedInAnIncident:
    def test_is_not_tried_again_for_the_failure_of_an_older_dispatch(self, lab: LedgerLab) -> None:
        publish(lab, NEW)
        lab.ledger.close(NEW, "ai", "incident")
        assert claim(lab, OLD) is ReportClaim.SUPERSEDED

    def test_is_dispatched_again_when_somebody_says_so(self, lab: LedgerLab) -> None:
        end(lab, "incident")
        assert reserve(lab, NEW) == (Reservation.NEW, 2000)

    def test_may_end_otherwise_after_all(self, lab: LedgerLab) -> None:
        end(lab, "incident")
        publish(lab, NEW)
        lab.ledger.close(NEW, "ai", "completed")
        assert lab.step(NEW) == "completed"
        assert reserve(lab, replace(NEW, token=3000)) == (Reservation.ENDED, 3000)  # type: ignore[arg-type]  # any
