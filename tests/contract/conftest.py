"""Contract tests: the same cases against our twins in memory and against the real thing."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import redis

from bridge.ledger import Ledger
from procos.kernel.parts.engine import engine_part
from procos.kernel.state import StackFolder
from procos.settings import BrokerSettings, RedisSettings, load_settings
from tests.broker_view import BrokerView
from tests.contract.engine_labs import FakeLab, RealLab, TellingInLists
from tests.contract.ledger_labs import FakeLab as FakeLedgerLab
from tests.contract.ledger_labs import RedisLab
from tests.contract.registry_labs import FakeLab as FakeRegistryLab
from tests.contract.registry_labs import RedisLab as RedisRegistryLab
from tests.services import Service, require_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.kernel.part import Command
    from procos.kernel.ports import Ports
    from procos.settings import Settings
    from tests.contract.engine_labs import EngineLab
    from tests.contract.ledger_labs import LedgerLab
    from tests.contract.registry_labs import RegistryLab

STOCK = {"camunda.bpm.generic-properties.properties.enable-exceptions-after-unhandled-bpmn-error": False}


@pytest.fixture(params=["fake", "real", "fake-in-lists", "real-in-lists"])
def lab(request: pytest.FixtureRequest) -> EngineLab:
    """The engine in memory and a real one, told of outcomes one by one and in lists."""
    kind, _, way = request.param.partition("-")
    lab: FakeLab | RealLab = request.getfixturevalue("real_lab") if kind == "real" else FakeLab()
    return TellingInLists(lab) if way else lab


@pytest.fixture(scope="session")
def real_lab(engine_settings: Settings) -> RealLab:
    return RealLab(engine_settings.engine)


@pytest.fixture(scope="session")
def stock_lab(stack_folder: StackFolder, ports: Ports) -> Iterator[RealLab]:
    """An engine that swallows BPMN errors nobody catches, as every engine but ours does."""
    settings = load_settings({}, dotenv=None)
    require_engine(settings)
    folder = StackFolder(stack_folder.root / "stock")
    folder.create()
    part = engine_part(settings, folder=folder, ports=ports)
    assert part.launch is not None
    service = Service(replace(part, launch=partial(_stock, part.launch)), folder.log("engine")).start()
    yield RealLab(load_settings(dict(service.environment), dotenv=None).engine)
    service.stop()


def _stock(launch: Callable[[str], Command], built: str) -> Command:
    command = launch(built)
    return replace(command, environment={**command.environment, "SPRING_APPLICATION_JSON": json.dumps(STOCK)})


@pytest.fixture(params=["fake", "redis"])
def ledger_lab(request: pytest.FixtureRequest) -> LedgerLab:
    real: LedgerLab | None = request.getfixturevalue("redis_lab") if request.param == "redis" else None
    return real or FakeLedgerLab()


@pytest.fixture(params=["fake", "redis"])
def registry_lab(request: pytest.FixtureRequest) -> RegistryLab:
    real: RegistryLab | None = request.getfixturevalue("redis_registry_lab") if request.param == "redis" else None
    return real or FakeRegistryLab()


@pytest.fixture
def redis_registry_lab(redis_client: redis.Redis, redis_settings: RedisSettings) -> RedisRegistryLab:
    return RedisRegistryLab(redis_client, redis_settings)


@pytest.fixture
def redis_client(redis_server: Service) -> Iterator[redis.Redis]:
    """A client of an empty Redis."""
    with redis.Redis.from_url(redis_server.environment["PROCOS_REDIS_URL"]) as client:
        client.flushall()
        yield client


@pytest.fixture
def redis_settings(redis_server: Service) -> RedisSettings:
    return RedisSettings(url=redis_server.environment["PROCOS_REDIS_URL"])


@pytest.fixture
def redis_ledger(redis_client: redis.Redis, redis_settings: RedisSettings) -> Ledger:  # noqa: ARG001  # emptied first
    return Ledger(redis_settings)


@pytest.fixture
def redis_lab(redis_ledger: Ledger, redis_client: redis.Redis, redis_settings: RedisSettings) -> RedisLab:
    return RedisLab(redis_ledger, redis_client, redis_settings)


@pytest.fixture
def broker_settings(rabbitmq: Service) -> BrokerSettings:
    return BrokerSettings(url=rabbitmq.environment["PROCOS_BROKER_URL"], confirm_timeout=5)


@pytest.fixture
def broker(broker_settings: BrokerSettings) -> BrokerView:
    """A RabbitMQ without a single queue."""
    view = BrokerView(broker_settings)
    view.empty()
    return view


@pytest.fixture
def declared(broker: BrokerView) -> BrokerView:
    """A RabbitMQ with the whole topology, and nothing in it."""
    broker.declare()
    return broker
