"""Faults of the network between parts that are well: frozen, half open, slow, or repeating itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.case import AFTER_LOCK, AFTER_OUTAGE, Case, Lane, Part
from tests.chaos.copies import copy_waiting
from tests.chaos.scene import MOMENT_SECONDS
from tests.chaos.stack import AI, AI_SLOTS, SLOTS
from tests.chaos.traffic import Direction
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.scene import Scene

FROZEN_SECONDS, HALF_SECONDS, SILENT_SECONDS = 45.0, 20.0, 15.0
SLOW_SECONDS = 20.0


def worker_link_frozen(scene: Scene) -> None:
    """Let nothing through between workers and RabbitMQ, while every connection stays open."""
    link = scene.stack.worker_broker
    link.freeze()
    pause(FROZEN_SECONDS)
    link.freeze(frozen=False)
    scene.say("the link flows again")


def worker_link_half_open(scene: Scene) -> None:
    """Let the workers hear nothing of RabbitMQ while it hears them, then the other way round."""
    link = scene.stack.worker_broker
    for direction, words in (
        (Direction.TO_CLIENT, "the workers hear nothing, and are heard"),
        (Direction.TO_SERVICE, "the workers are not heard, and hear"),
    ):
        link.freeze(direction=direction)
        scene.say(words)
        pause(HALF_SECONDS)
        link.freeze(direction=direction, frozen=False)
    scene.say("the link flows again")


def engine_link_half_open(scene: Scene) -> None:
    """Let no answer of the engine through, then end the connections on its side without telling the bridge."""
    link = scene.stack.bridge_engine
    link.freeze(direction=Direction.TO_CLIENT)
    scene.say("the engine hears the bridge, and is not heard")
    pause(SILENT_SECONDS)
    link.forsake()
    link.freeze(direction=Direction.TO_CLIENT, frozen=False)
    scene.say("the engine has hung up without a word; new connections pass")


def broker_links_slow(scene: Scene, *, latency: float = 0.25) -> None:
    """Delay what RabbitMQ says to bridge and workers, and they to it."""
    links = scene.stack.links_to(scene.stack.services.broker)
    for link in links:
        link.delay(latency)
    pause(SLOW_SECONDS)
    for link in links:
        link.delay(0.0)
    scene.say("RabbitMQ answers at once again")


def published_twice(scene: Scene) -> None:
    """Give the workers copies of messages that wait for them, as an unknown publish tried again would."""
    worker = scene.stack.programs[AI]
    worker.freeze()
    try:
        copied = copy_waiting(scene.stack.broker, AI, most=AI_SLOTS, seconds=MOMENT_SECONDS)
    finally:
        worker.freeze(frozen=False)
    scene.say(f"{copied} messages are there twice")


LINKS: Sequence[Case] = (
    Case(
        name="link-frozen",
        title=f"workers to RabbitMQ, frozen for {FROZEN_SECONDS:g} s",
        part=Part.LINK,
        story="Workers end what they have; its results are handed over, or were stored and found, and nothing is lost.",
        fault=worker_link_frozen,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
        lane=Lane.FULL,
    ),
    Case(
        name="link-half-open",
        title=f"workers to RabbitMQ, half open: {HALF_SECONDS:g} s each direction",
        part=Part.LINK,
        story="As above: signs of life in Redis tell a worker that is cut off from one that is gone.",
        fault=worker_link_half_open,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
        lane=Lane.FULL,
    ),
    Case(
        name="engine-half-open",
        title=f"bridge to engine, half open for {SILENT_SECONDS:g} s, then dead without a goodbye",
        part=Part.LINK,
        story="Every call has a time limit; what the engine took unheard is reported again and found done.",
        fault=engine_link_half_open,
        duplicates=0,
        recovery=AFTER_LOCK,
        lane=Lane.FULL,
    ),
    Case(
        name="broker-slow",
        title=f"bridge and workers to RabbitMQ, 250 ms late for {SLOW_SECONDS:g} s",
        part=Part.LINK,
        story="Steps take longer.",
        fault=broker_links_slow,
        duplicates=0,
        recovery=AFTER_OUTAGE,
        over=20.0,
        lane=Lane.FULL,
    ),
)

REPEATED: Sequence[Case] = (
    Case(
        name="published-twice",
        title="messages published twice",
        part=Part.ORDER,
        story="A copy is not run while, or after, its twin is.",
        fault=published_twice,
        duplicates=AI_SLOTS,
        recovery=AFTER_OUTAGE,
        lane=Lane.FULL,
    ),
)
