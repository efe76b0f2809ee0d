"""A fetched task without the variables its instance has is recognised."""

from __future__ import annotations

from datetime import timedelta

import pytest

from procos.domain.errors import EngineError, EngineRejectedError, EngineUnreachableError
from procos.domain.external_task import Topic
from procos.engine.subscription import Subscription
from procos.engine.torn import is_torn
from procos.testing import external_task, typed


def subscription(*names: str, everything: bool = False) -> Subscription:
    return Subscription(
        topic=Topic("t"), lock_duration=timedelta(seconds=1), variables=None if everything else tuple(names)
    )


class TestTornTask:
    @pytest.mark.parametrize(
        ("there", "asked", "torn"),
        [
            ({"a": {}}, subscription(everything=True), True),
            ({"a": {}}, subscription("a", "b"), True),
            ({"a": {}}, subscription("b"), False),
            ({"a": {}}, subscription(), False),
            ({}, subscription(everything=True), False),
        ],
        ids=["all wanted", "some wanted", "others there", "none wanted", "none there"],
    )
    def test_lacks_what_is_there(self, there: object, asked: Subscription, *, torn: bool) -> None:
        assert is_torn(external_task(), asked, lambda _: there) is torn

    def test_is_not_one_that_has_variables(self) -> None:
        task = external_task(variables=typed(a=1))
        assert not is_torn(task, subscription(everything=True), lambda _: pytest.fail("no question is needed"))

    @pytest.mark.parametrize("error", [EngineRejectedError("gone"), EngineUnreachableError("engine", "away")])
    def test_is_believed_where_nothing_can_be_compared(self, error: EngineError) -> None:
        def refuse(_: object) -> None:
            raise error

        assert not is_torn(external_task(), subscription(everything=True), refuse)
