"""What follows a try whose run was killed: another, unless a second start could do harm."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.ledger_values import Claimed, ReportClaim
from bridge.next_try import KILLED, next_try
from procos.domain.outcome import Failure
from procos.domain.retry import RetryPolicy
from procos.testing import dispatch_ref

CLAIMED = Claimed(claim=ReportClaim.CLAIMED, age=timedelta(0), worker="w")


def left(failure: Failure, *, may_start_again: bool) -> int:
    retry = next_try(
        dispatch_ref(), failure, CLAIMED, policy=RetryPolicy(attempts=3), largest_age=timedelta(days=1),
        may_start_again=may_start_again,
    )  # fmt: skip
    return retry.left


@pytest.mark.parametrize("code", sorted(KILLED))
class TestKilledRun:
    def test_is_followed_by_another(self, code: str) -> None:
        assert left(Failure(message="killed", code=code), may_start_again=True) == 2

    def test_is_the_last_where_a_second_start_could_do_harm(self, code: str) -> None:
        assert left(Failure(message="killed", code=code), may_start_again=False) == 0


class TestFailureOfATask:
    def test_is_followed_by_another_since_the_task_has_said_that_it_may(self) -> None:
        assert left(Failure(message="busy"), may_start_again=False) == 2
