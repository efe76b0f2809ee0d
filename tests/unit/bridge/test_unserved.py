"""A step nobody serves becomes an incident, not a mystery."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.dispatcher import Dispatcher
from bridge.unserved import UnservedTopics
from procos.engine.subscription import EVERYTHING, Filter
from procos.testing import InstantStop, RecordingPublisher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.external_task import Topic
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger


@pytest.fixture
def unserved(
    engine: FakeEngine, ledger: FakeLedger, table: Mapping[Topic, Route], request: pytest.FixtureRequest
) -> UnservedTopics:
    only = getattr(request, "param", EVERYTHING)
    publisher = RecordingPublisher()
    lease = timedelta(seconds=30)
    dispatcher = Dispatcher(engine, ledger, publisher, table, queue="unserved", lease=lease, stop=InstantStop())
    return UnservedTopics(engine, engine.open_topics, dispatcher, table, holder="bridge/unserved", only=only)


class TestUnservedTopics:
    def test_makes_an_incident_that_names_the_topic(self, unserved: UnservedTopics, engine: FakeEngine) -> None:
        task_id = engine.add("typo")
        unserved.turn()
        assert "'typo'" in engine.incidents[task_id]
        assert "ai_query" in engine.incidents[task_id]

    def test_does_not_touch_what_is_served(self, unserved: UnservedTopics, engine: FakeEngine) -> None:
        task_id = engine.add("ai_query")
        unserved.turn()
        assert engine.calls == ["open_topics"]
        assert engine.find(task_id).lease is None

    @pytest.mark.parametrize("unserved", [Filter(tenants=("north",))], indirect=True)
    def test_leaves_what_others_fetch(self, unserved: UnservedTopics, engine: FakeEngine) -> None:
        theirs, ours = engine.add("typo", tenant="south"), engine.add("typo", tenant="north")
        unserved.turn()
        assert engine.incidents.keys() == {ours}
        assert engine.find(theirs).lease is None

    def test_makes_one_incident_and_no_more(self, unserved: UnservedTopics, engine: FakeEngine) -> None:
        engine.add("typo")
        unserved.turn()
        unserved.turn()
        assert len(engine.failures) == 1
