"""Faults of RabbitMQ and Redis: stopped for a while, killed, emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.case import AFTER_LOCK, AFTER_OUTAGE, Case, Lane, Part
from tests.chaos.scene import OUTAGE_SECONDS
from tests.chaos.stack import SLOTS
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.scene import Scene
    from tests.services import Service


def stopped(scene: Scene, service: Service) -> None:
    """Stop a service for a while."""
    cut_off(scene, service)
    pause(OUTAGE_SECONDS)
    bring_back(scene, service)


def cut_off(scene: Scene, service: Service) -> None:
    """Stop a service; its address refuses."""
    links = scene.stack.links_to(service)
    service.stop()
    for link in links:
        link.refuse()
    scene.say(f"{service.part.name} stopped")


def bring_back(scene: Scene, service: Service) -> None:
    """Start a service again, with its data."""
    service.start()
    for link in scene.stack.links_to(service):
        link.accept()
    scene.say(f"{service.part.name} is back")


def killed(scene: Scene, service: Service) -> None:
    """Kill a service, and start it again at once."""
    service.kill()
    for link in scene.stack.links_to(service):
        link.refuse()
    scene.say(f"{service.part.name} killed")
    bring_back(scene, service)


def broker_stopped(scene: Scene) -> None:
    """Stop RabbitMQ for a while."""
    stopped(scene, scene.stack.services.broker)


def broker_killed(scene: Scene) -> None:
    """Kill RabbitMQ, and start it again at once."""
    killed(scene, scene.stack.services.broker)


def redis_stopped(scene: Scene) -> None:
    """Stop Redis for a while; its append-only file brings the data back."""
    stopped(scene, scene.stack.services.redis)


def redis_flushed(scene: Scene) -> None:
    """Empty Redis."""
    scene.stack.redis.flushall()
    scene.say("Redis flushed")


BROKER: Sequence[Case] = (
    Case(
        name="rabbitmq-stop",
        title=f"stopped for {OUTAGE_SECONDS:g} s",
        part=Part.RABBITMQ,
        story="Workers end what they have and keep its results; everything is handed over when it is back.",
        fault=broker_stopped,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
    ),
    Case(
        name="rabbitmq-kill",
        title="killed (SIGKILL), started again",
        part=Part.RABBITMQ,
        story="The queues are on its disk; the rest is as above.",
        fault=broker_killed,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
        lane=Lane.FULL,
    ),
)

REDIS: Sequence[Case] = (
    Case(
        name="redis-flush",
        title="emptied (FLUSHALL)",
        part=Part.REDIS,
        story="The bridge writes the ledger anew from the engine's locks, and workers show what they are running.",
        fault=redis_flushed,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
        keeps_books=False,
    ),
    Case(
        name="redis-stop",
        title=f"stopped for {OUTAGE_SECONDS:g} s",
        part=Part.REDIS,
        story="Nothing new is fetched; completions are reported without it, failures wait.",
        fault=redis_stopped,
        duplicates=SLOTS,
        recovery=AFTER_OUTAGE,
    ),
)
