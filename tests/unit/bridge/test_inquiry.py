from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.inquiry import Inquiry, Reply
from bridge.readiness import Readiness
from procos.domain.errors import EngineDeniedError, LedgerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENT = 3.0
BRIEFLY = 0.02


class Part:
    """Somebody who is asked, and answers with the number of the question, perhaps only when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.trouble: Exception | None = None

    def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        self.may_answer.wait(PATIENT)
        if self.trouble:
            raise self.trouble
        return number

    def clock(self) -> float:
        return self.now


@pytest.fixture
def part() -> Iterator[Part]:
    part = Part()
    yield part
    part.may_answer.set()


@pytest.fixture
def inquiry(part: Part) -> Inquiry[int]:
    return Inquiry("part", part, every=timedelta(seconds=5), clock=part.clock)


class TestInquiry:
    def test_asks_once_for_all_who_want_to_know_within_the_time(self, inquiry: Inquiry[int], part: Part) -> None:
        assert [inquiry.reply(PATIENT) for _ in range(3)] == [Reply(value=1, is_fresh=True)] * 3
        part.now += 4.9
        assert inquiry.reply(PATIENT).value == 1

    def test_asks_anew_when_the_time_is_up(self, inquiry: Inquiry[int], part: Part) -> None:
        inquiry.reply(PATIENT)
        part.now += 5
        assert inquiry.reply(PATIENT) == Reply(value=2, is_fresh=True)

    def test_waits_no_longer_than_patience_and_returns_the_last_answer(self, inquiry: Inquiry[int], part: Part) -> None:
        inquiry.reply(PATIENT)
        part.now += 5
        part.may_answer.clear()
        assert inquiry.reply(BRIEFLY) == Reply(value=1, is_fresh=False)

    def test_never_puts_a_question_twice_at_a_time(self, inquiry: Inquiry[int], part: Part) -> None:
        part.may_answer.clear()
        for _ in range(5):
            part.now += 100
            assert inquiry.reply(0.0) == Reply(value=None, is_fresh=False)
        part.may_answer.set()
        assert inquiry.reply(PATIENT) == Reply(value=1, is_fresh=True)
        assert part.asked == 1

    def test_keeps_the_last_answer_when_the_question_fails(self, inquiry: Inquiry[int], part: Part) -> None:
        inquiry.reply(PATIENT)
        part.now += 5
        part.trouble = OSError("away")
        assert inquiry.reply(PATIENT) == Reply(value=1, is_fresh=False)
        part.trouble = None
        part.now += 5
        assert inquiry.reply(PATIENT) == Reply(value=3, is_fresh=True)


class TestReadiness:
    def test_says_for_each_part_what_is_wrong_and_the_cure(self) -> None:
        def denied() -> None:
            raise EngineDeniedError("refuses the credentials. Set PROCOS_ENGINE_USER")

        def away() -> None:
            raise LedgerUnreachableError("redis://far", "connection refused")

        findings = Readiness({"engine": denied, "broker": lambda: None, "redis": away}).findings()

        assert findings["broker"] == "ok"
        assert "PROCOS_ENGINE_USER" in findings["engine"]
        assert "PROCOS_REDIS_URL" in findings["redis"]

    def test_gives_a_part_that_hangs_no_more_than_its_time_and_the_others_theirs(self, part: Part) -> None:
        part.may_answer.clear()
        readiness = Readiness({"engine": part, "broker": part, "redis": lambda: None}, patience=timedelta(seconds=0.2))
        assert readiness.findings() == {
            "engine": "no answer within 0.2 s", "broker": "no answer within 0.2 s", "redis": "ok",
        }  # fmt: skip

    def test_survives_an_error_nobody_expected(self) -> None:
        def broken() -> None:
            raise ZeroDivisionError("a defect")

        assert Readiness({"engine": broken}).findings() == {"engine": "cannot be asked: a defect"}
