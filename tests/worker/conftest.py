"""pytest-celery on this machine: its fixtures, with our services and our workers as their nodes."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBackend,
    CeleryTestBroker,
    CeleryTestWorker,
    CeleryWorkerCluster,
)

from bridge.ledger import Ledger
from bridge.publisher import CeleryPublisher, Publication, Receipt
from procos.app import make_app
from procos.domain.dispatch import Dispatch
from procos.domain.external_task import Topic
from procos.routes import ROUTES, Route
from procos.settings import BrokerSettings, load_settings
from procos.testing import dispatch_ref
from tests.broker_view import BrokerView
from tests.worker.nodes import ServiceContainer, WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from celery import Celery

    from procos.domain.dispatch import DispatchRef
    from procos.settings import Settings
    from tests.services import Service

QUEUE_OF = {"sample_ask": "ai", "sample_sleep": "ai", "sample_stubborn": "ai"}
"""All others go to `generic`."""
MODULE_OF = {"sample_ask": "sample_tasks.asking"}


@pytest.fixture
def worker_arguments() -> list[str]:
    """The worker's command line; test modules choose their own."""
    return ["-Q", "ai"]


@pytest.fixture
def worker_environment() -> dict[str, str]:
    """Return what the worker is told beside where the services are; test modules say more."""
    return {}


@pytest.fixture
def settings(rabbitmq: Service, redis_server: Service) -> Settings:
    return load_settings({**rabbitmq.environment, **redis_server.environment}, dotenv=None)


@pytest.fixture
def broker(settings: Settings) -> BrokerView:
    """A RabbitMQ without a single queue."""
    view = BrokerView(BrokerSettings(url=settings.broker.url))
    view.empty()
    return view


@pytest.fixture
def celery_broker_cluster(rabbitmq: Service, settings: Settings) -> CeleryBrokerCluster:
    return CeleryBrokerCluster(CeleryTestBroker(ServiceContainer(rabbitmq, settings.broker.url)))


@pytest.fixture
def celery_backend_cluster(redis_server: Service, settings: Settings) -> CeleryBackendCluster:
    return CeleryBackendCluster(CeleryTestBackend(ServiceContainer(redis_server, settings.redis.url)))


@pytest.fixture
def celery_setup_app(settings: Settings) -> Celery:
    """The app of whoever sends tasks."""
    return make_app(settings)


@pytest.fixture
def celery_worker_cluster(
    rabbitmq: Service,
    redis_server: Service,
    broker: BrokerView,  # noqa: ARG001  # emptied before the worker comes
    worker_arguments: list[str],
    worker_environment: dict[str, str],
    celery_setup_app: Celery,
    tmp_path: Path,
) -> Iterator[CeleryWorkerCluster]:
    """One worker, as a process of its own."""
    services = {**rabbitmq.environment, **redis_server.environment}
    environment = {**services, "PROCOS_WORKER_SOFT_SHUTDOWN": "1", **worker_environment}
    container = WorkerContainer(worker_arguments, environment, tmp_path)
    container.start()
    yield CeleryWorkerCluster(CeleryTestWorker(container, celery_setup_app))
    container.teardown()


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    return Ledger(settings.redis)


@pytest.fixture
def send(settings: Settings, ledger: Ledger) -> Iterator[Callable[..., DispatchRef]]:
    """Reserve and publish a dispatch, as the bridge does."""
    publisher = CeleryPublisher(
        make_app(settings, with_results=False), confirm_timeout=5, time_limit=timedelta(minutes=10)
    )

    def publish(topic: str, /, *, constants: tuple[str, ...] = (), **variables: object) -> DispatchRef:
        route = ROUTES.get(Topic(topic)) or Route(
            task_name=f"sample.{topic}",
            queue=QUEUE_OF.get(topic, "generic"),
            module=MODULE_OF.get(topic, "sample_tasks.tasks"),
        )
        ref = dispatch_ref(f"{topic}-{uuid.uuid4()}", topic=topic)
        ledger.reserve([ref], route.queue, timedelta(minutes=5))
        dispatch = Dispatch(ref=ref, variables=variables, constants=constants)
        publication = Publication(dispatch=dispatch, route=route)
        assert publisher.publish([publication]) == [Receipt.CONFIRMED]
        ledger.mark_published([ref])
        return ref

    yield publish
    publisher.close()
