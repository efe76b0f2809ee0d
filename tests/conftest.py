"""What every test shares: settings from the test alone, and real services that start once, when first asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from procos.environment_names import ALIASES
from procos.settings import load_settings

OURS = {alias for aliases in ALIASES.values() for alias in aliases}

# `procos.app` reads its settings at import, so this must come before the first test module.
for name in list(os.environ):  # noqa: TID251  # the one place where tests clean the environment
    if name in OURS or (name.startswith("PROCOS_") and not name.startswith(("PROCOS_TEST_", "PROCOS_CACHE_"))):
        del os.environ[name]  # noqa: TID251  # the same

from procos.kernel.parts import rabbitmq as rabbitmq_part  # noqa: E402  # after the environment is clean
from procos.kernel.parts.broker import broker_part  # noqa: E402  # the same
from procos.kernel.parts.engine import engine_part  # noqa: E402  # the same
from procos.kernel.parts.redis import redis_part  # noqa: E402  # the same
from procos.kernel.ports import Ports  # noqa: E402  # the same
from procos.kernel.state import StackFolder  # noqa: E402  # the same
from tests.services import Service, require_engine, require_rabbitmq, require_redis  # noqa: E402  # the same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import Settings

settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))  # noqa: TID251  # how long to look is not ours to say

ENGINE_USER, ENGINE_PASSWORD = "procos", "not-a-secret"


def pytest_report_header() -> str:
    broker = "RabbitMQ, started here" if rabbitmq_part.is_installed() else "none"
    return f"service nodes: native processes (no Docker); broker: {broker}"


@pytest.fixture(scope="session")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> StackFolder:
    folder = StackFolder(tmp_path_factory.mktemp("services"))
    folder.create()
    return folder


class AnyPorts(Ports):
    """Never the usual port: another stack on this machine may be about to take it."""

    def choose(self, usual: int | None = None) -> int:  # noqa: ARG002  # the point of the class
        return super().choose()


@pytest.fixture(scope="session")
def ports() -> Ports:
    return AnyPorts()


@pytest.fixture(scope="session")
def rabbitmq(stack_folder: StackFolder, ports: Ports) -> Iterator[Service]:
    """A RabbitMQ node of our own."""
    require_rabbitmq()
    service = Service(broker_part(folder=stack_folder, ports=ports, redis_here=None), stack_folder.log("broker"))
    yield service.start()
    service.stop()


@pytest.fixture(scope="session")
def redis_server(stack_folder: StackFolder, ports: Ports) -> Iterator[Service]:
    """A Redis server of our own."""
    require_redis()
    service = Service(redis_part(folder=stack_folder, ports=ports), stack_folder.log("redis"))
    yield service.start()
    service.stop()


@pytest.fixture(scope="session")
def engine_server(stack_folder: StackFolder, ports: Ports) -> Iterator[Service]:
    """An engine of our own, which asks for user and password."""
    settings = load_settings(
        {"PROCOS_ENGINE_USER": ENGINE_USER, "PROCOS_ENGINE_PASSWORD": ENGINE_PASSWORD}, dotenv=None
    )
    require_engine(settings)
    service = Service(engine_part(settings, folder=stack_folder, ports=ports), stack_folder.log("engine"))
    yield service.start()
    service.stop()


@pytest.fixture(scope="session")
def engine_settings(engine_server: Service) -> Settings:
    """Settings under which the real engine is found."""
    return load_settings(
        {**engine_server.environment, "PROCOS_ENGINE_USER": ENGINE_USER, "PROCOS_ENGINE_PASSWORD": ENGINE_PASSWORD},
        dotenv=None,
    )
