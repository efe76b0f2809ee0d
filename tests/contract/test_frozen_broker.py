"""A broker that is frozen after the greetings holds nobody for long."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

import procos.queues
from bridge.link import open_link
from bridge.revoker import CeleryRevoker
from procos.app import make_app
from procos.domain.errors import BrokerUnreachableError
from procos.queues import depths
from procos.settings import BrokerSettings, load_settings
from tests.contract.silence import Silence, silenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services import Service

CHANNEL_OPENED = re.compile(rb"\x00\x14\x00\x0b")
"""The broker's first answer after its greetings: class 20, method 11."""
ANYTHING = re.compile(rb".", re.DOTALL)
LONGEST_SECONDS = 5.0


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Silence:
    monkeypatch.setattr(procos.queues, "ANSWER_SECONDS", 1.0)
    return Silence(CHANNEL_OPENED)


@pytest.fixture
def frozen(broker_settings: BrokerSettings, silence: Silence) -> Iterator[BrokerSettings]:
    with silenced(broker_settings.url, silence) as url:
        yield BrokerSettings(url=url)


@pytest.fixture(autouse=True)
def no_long_wait() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LONGEST_SECONDS


class TestFrozenBroker:
    def test_is_unreachable_to_whoever_asks_what_waits(self, frozen: BrokerSettings, silence: Silence) -> None:
        with pytest.raises(BrokerUnreachableError, match="timed out"):
            depths(frozen, ["ai", "generic"])
        assert silence.lost == 1

    def test_keeps_no_link_waiting(self, frozen: BrokerSettings, silence: Silence) -> None:
        with pytest.raises(TimeoutError):
            open_link(frozen, ["ai"])
        assert silence.lost == 1

    def test_keeps_no_revoke_waiting(self, frozen: BrokerSettings, silence: Silence) -> None:
        app = make_app(load_settings({"PROCOS_BROKER_URL": frozen.url}, dotenv=None), with_results=False)
        CeleryRevoker(app, frozen).revoke(["one"])
        assert silence.lost == 1


class TestFrozenRedis:
    def test_is_unreachable_to_whoever_asks_what_waits(
        self, redis_server: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(procos.queues, "ANSWER_SECONDS", 0.5)
        silence = Silence(ANYTHING)
        with (
            silenced(redis_server.environment["PROCOS_REDIS_URL"], silence) as url,
            pytest.raises(BrokerUnreachableError),
        ):
            depths(BrokerSettings(url=url), ["ai"])
        assert silence.lost
