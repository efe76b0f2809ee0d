"""A broker that closes the channel over one message tells nothing of the others: they are sent alone, and it is known.

What a real RabbitMQ does is asked in `tests/contract/test_publisher.py`.
"""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import amqp
import pytest

from bridge import publisher as publishing
from bridge.publisher import CeleryPublisher, Publication, Receipt
from procos.domain.dispatch import Dispatch
from procos.routes import Route
from procos.testing import dispatch_ref

if TYPE_CHECKING:
    from collections.abc import Sequence

AI = Route(task_name="procos.ai_query", queue="ai", module="m")
TOO_LARGE = amqp.PreconditionFailed("PRECONDITION_FAILED - message size 20300105 is larger", reply_code=406)


class Broker:
    """Closes the channel over some messages; `batches` are what came on each."""

    def __init__(self, *refused: str, error: Exception = TOO_LARGE) -> None:
        self.refused, self.error = {f"{name}.1000" for name in refused}, error
        self.batches: list[list[str]] = []
        self.is_away = False

    def connect(self, *_: object) -> Channel:
        if self.is_away:
            raise ConnectionRefusedError
        return Channel(self)


class Channel:
    """One channel to it, as the publisher uses it."""

    producer = None

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.receipts: dict[str, Receipt] = {}
        self._sent: list[str] = []

    def expect(self, celery_id: str) -> None:
        self._sent.append(celery_id)

    def sent(self) -> None:
        """Say that the message is out."""

    def settle(self) -> None:
        sent, self._sent = self._sent, []
        self._broker.batches.append(sent)
        for celery_id in sent:
            if celery_id in self._broker.refused:
                raise self._broker.error
            self.receipts[celery_id] = Receipt.CONFIRMED

    def is_open(self) -> bool:
        return True

    def close(self) -> None:
        """Close it."""


@pytest.fixture
def broker() -> Broker:
    return Broker("c")


@pytest.fixture
def publisher(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> CeleryPublisher:
    monkeypatch.setattr(publishing, "_ConfirmingChannel", broker.connect)
    app: Any = SimpleNamespace(amqp=SimpleNamespace(send_task_message=lambda *_, **__: None))
    return CeleryPublisher(app, confirm_timeout=1.0, time_limit=timedelta(minutes=10))


def publications(names: str) -> Sequence[Publication]:
    return [Publication(dispatch=Dispatch(ref=dispatch_ref(name), variables={}), route=AI) for name in names]


class TestTooLarge:
    def test_is_not_known_yet_of_one_among_others(self, publisher: CeleryPublisher) -> None:
        assert publisher.publish(publications("abcd")) == [Receipt.CONFIRMED] * 2 + [Receipt.UNKNOWN] * 2

    def test_is_what_fails_alone_and_nothing_else(self, publisher: CeleryPublisher, broker: Broker) -> None:
        publisher.publish(publications("abcd"))
        assert publisher.publish(publications("cd")) == [Receipt.TOO_LARGE, Receipt.CONFIRMED]
        assert broker.batches[1:] == [["c.1000"], ["d.1000"]]

    def test_is_known_at_once_of_one_that_was_alone(self, publisher: CeleryPublisher) -> None:
        assert publisher.publish(publications("c")) == [Receipt.TOO_LARGE]

    def test_has_the_next_batch_go_together_again(self, publisher: CeleryPublisher, broker: Broker) -> None:
        publisher.publish(publications("abcd"))
        publisher.publish(publications("cd"))
        assert publisher.publish(publications("ef")) == [Receipt.CONFIRMED] * 2
        assert broker.batches[-1] == ["e.1000", "f.1000"]

    def test_may_be_several(self, publisher: CeleryPublisher, broker: Broker) -> None:
        broker.refused.add("d.1000")
        publisher.publish(publications("abcde"))
        assert publisher.publish(publications("cde")) == [Receipt.TOO_LARGE] * 2 + [Receipt.CONFIRMED]

    def test_is_not_asked_of_each_while_the_broker_is_away(self, publisher: CeleryPublisher, broker: Broker) -> None:
        publisher.publish(publications("abcd"))
        broker.is_away = True
        assert publisher.publish(publications("cd")) == [Receipt.UNKNOWN] * 2
        broker.is_away = False
        assert publisher.publish(publications("cd")) == [Receipt.TOO_LARGE, Receipt.CONFIRMED]


class TestAConnectionThatIsLost:
    def test_says_nothing_of_a_message_that_was_alone(self, publisher: CeleryPublisher, broker: Broker) -> None:
        broker.error = ConnectionResetError()
        assert publisher.publish(publications("c")) == [Receipt.UNKNOWN]
