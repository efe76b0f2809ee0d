"""The topology on a real RabbitMQ, and what is said when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import BrokerUnreachableError
from procos.queues import PARKED, SHELF, Queue, connect, dead, declare, depths
from procos.settings import BrokerSettings

if TYPE_CHECKING:
    from tests.broker_view import BrokerView

EVERY = ["ai", "generic", Queue.CALLBACKS, PARKED, dead("ai"), dead("generic"), SHELF]


class TestDeclare:
    def test_makes_every_queue_on_an_empty_broker(self, broker: BrokerView) -> None:
        assert {broker.waiting(name) for name in EVERY} == {-1}
        with connect(broker.settings) as connection:
            declare(connection, ["ai", "generic"])
        assert {broker.waiting(name) for name in EVERY} == {0}

    def test_may_be_done_by_every_part_again(self, declared: BrokerView) -> None:
        with connect(declared.settings) as connection:
            declare(connection, ["generic", "ai"])
            declare(connection, ["ai"])
        assert {declared.waiting(name) for name in EVERY} == {0}


class TestDepths:
    def test_tell_what_waits_and_what_is_missing(self, declared: BrokerView) -> None:
        declared.put("ai", b"{}", {})
        found = depths(declared.settings, ["ai", "generic", "nowhere"])
        assert [found[name].ready for name in ("ai", "generic")] == [1, 0]
        assert [found[name].missing for name in ("ai", "nowhere")] == [False, True]


class TestConnect:
    def test_says_that_nobody_listens(self) -> None:
        with pytest.raises(BrokerUnreachableError, match=r"127\.0\.0\.1:1\b.*refused.*PROCOS_BROKER_URL"):
            connect(BrokerSettings(url="amqp://u:hunter2@127.0.0.1:1//"))

    def test_says_that_the_credentials_are_refused(self, broker_settings: BrokerSettings) -> None:
        host = broker_settings.url.rpartition("@")[2]
        with pytest.raises(BrokerUnreachableError, match="credentials are refused") as outage:
            connect(BrokerSettings(url=f"amqp://nobody:hunter2@{host}"))
        assert "hunter2" not in str(outage.value)

    def test_says_that_the_virtual_host_does_not_exist(self, broker_settings: BrokerSettings) -> None:
        url = broker_settings.url.rstrip("/") + "/nowhere"
        with pytest.raises(BrokerUnreachableError, match=r"nowhere|vhost"):
            connect(BrokerSettings(url=url))
