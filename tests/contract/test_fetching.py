"""What a poller takes of what waits: nobody is held up by a flood, and no cap is exceeded."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.budget import Budget
from bridge.dispatcher import Dispatcher
from bridge.ledger import Ledger
from bridge.poller import Poller
from procos.caps import Cap
from procos.routes import Route
from procos.testing import FakeLedger, InstantStop, RecordingPublisher
from tests.contract.engine_labs import FakeLab
from tests.services import pause, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import redis

    from bridge.publisher import Publication, Receipt
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import Topic
    from procos.engine.protocol import Engine
    from procos.settings import RedisSettings
    from tests.contract.engine_labs import EngineLab, RealLab

LOCK = timedelta(minutes=5)
WAITING, ROOM, FEW = 300, 40, 5
PLACES, STEPS = 2, 12


def poller(
    engine: Engine,
    ledger: Ledger,
    publisher: RecordingPublisher,
    topics: Sequence[Topic],
    *,
    holder: str = "flood/ai",
    caps: Sequence[Cap] = (),
) -> Poller:
    table = {topic: Route(task_name=f"t.{topic}", queue="ai", module="m") for topic in topics}
    dispatcher = Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LOCK, stop=threading.Event())
    budget = Budget(ledger, "ai", capacity=ROOM, least=ROOM)
    return Poller(
        engine, dispatcher, table, budget, holder=holder, caps=caps, lock_duration=LOCK, wait=timedelta(0)
    )  # fmt: skip


@pytest.fixture(params=["fake", "real"])
def lab(request: pytest.FixtureRequest) -> EngineLab:
    """The engine in memory and a real one; nobody here tells it of outcomes in lists."""
    real: EngineLab | None = request.getfixturevalue("real_lab") if request.param == "real" else None
    return real or FakeLab()


class TestFlood:
    @pytest.mark.parametrize("priority", [0, 10])
    def test_of_one_topic_holds_up_no_other(self, lab: EngineLab, priority: int) -> None:
        flood, other = lab.topic(), lab.topic()
        lab.start_many(flood, WAITING, priority=priority)
        lab.start_many(other, FEW)
        ledger, publisher = FakeLedger(), RecordingPublisher()
        fetching = poller(lab.engine, ledger, publisher, [flood, other])
        for _ in range(2):
            fetching.turn(InstantStop())
            ledger.leases.clear()  # all that was fetched is done
        topics = [publication.dispatch.ref.topic for publication in publisher.published]
        assert topics.count(other) == FEW
        assert topics.count(flood) == 2 * ROOM - FEW

    def test_leaves_the_rest_to_the_engine_by_priority(self, lab: EngineLab) -> None:
        topic = lab.topic()
        lab.start_many(topic, 2 * ROOM)
        urgent = lab.start(topic, priority=10)
        ledger, publisher = FakeLedger(), RecordingPublisher()
        fetching = poller(lab.engine, ledger, publisher, [topic])
        for _ in range(3):
            fetching.turn(InstantStop())
        ids = [publication.dispatch.ref.external_task_id for publication in publisher.published]
        assert (ids[0], len(ids)) == (urgent, ROOM)


class Broker(RecordingPublisher):
    """Notes how many were in flight whenever something was published."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self.in_flight: list[int] = []

    def publish(self, publications: Sequence[Publication]) -> Sequence[Receipt]:
        self.in_flight.append(self._ledger.in_flight("ai"))
        return super().publish(publications)


class TestCap:
    @pytest.fixture
    def stop(self) -> Iterator[threading.Event]:
        stop = threading.Event()
        yield stop
        stop.set()

    def test_is_never_exceeded_by_two_bridges(
        self, real_lab: RealLab, redis_client: redis.Redis, redis_settings: RedisSettings, stop: threading.Event
    ) -> None:
        assert redis_client.dbsize() == 0
        topic = real_lab.topic()
        cap = Cap(name=f"topic.{topic}", at_once=PLACES, queues=("ai",))
        ledger = Ledger(redis_settings, {topic: (cap,)})
        broker = Broker(ledger)
        real_lab.start_many(topic, STEPS)
        pollers = [
            poller(real_lab.engine, ledger, broker, [topic], holder=f"{name}/{cap.name}/ai", caps=(cap,))
            for name in ("one", "other")
        ]
        threads = [threading.Thread(target=each.run, args=(stop,), daemon=True) for each in pollers]
        for thread in threads:
            thread.start()
        for done in range(STEPS):
            wait_until(lambda: len(broker.published) > done, 20, what=f"step {done + 1} is fetched")  # noqa: B023  # asked at once
            self._finish(real_lab, ledger, broker.published[done].dispatch.ref)
        stop.set()
        for thread in threads:
            thread.join(10)
        assert max(broker.in_flight) <= PLACES
        assert len({publication.dispatch.ref.external_task_id for publication in broker.published}) == STEPS
        assert ledger.usage("ai", [cap]).taken == {cap.name: 0}

    def _finish(self, lab: RealLab, ledger: Ledger, ref: DispatchRef) -> None:
        pause(0.05)
        lab.engine.complete(ref.external_task_id, ref.holder, {})
        ledger.close(ref, "ai", "completed")
