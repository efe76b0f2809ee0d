"""A host with a worker of its own that joins under load, leaves, joins again, and is gone without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.cable import another_host
from tests.chaos.case import AFTER_LOCK, EARLY, Case, Lane, Part
from tests.chaos.scene import await_work, leave
from tests.chaos.stack import AI, READY_SECONDS
from tests.local_stack import wait_until
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.cable import Host
    from tests.chaos.program import Program
    from tests.chaos.scene import Scene

WORKER = f"{AI}-host"
HOST_SLOTS = 4
GONE_SECONDS = 25.0
"""For so long the load goes on without the host, and the broker still believes that it is there."""


def host_joins(scene: Scene) -> None:
    """Let a worker host join and leave as it should, then join again and lose its cable while it is at work."""
    with another_host() as host, scene.stack.reachable_at(host.ours) as addresses:
        worker = _joined(scene, host, addresses)
        leave(worker)
        scene.say("the host has left (SIGTERM)")
        worker = _joined(scene, host, addresses)
        host.cut()
        scene.say("the host's cable is cut")
        pause(GONE_SECONDS)
        worker.kill()
        worker.wait()
        scene.say("the host is off")


def _joined(scene: Scene, host: Host, addresses: Mapping[str, str]) -> Program:
    """Start a worker on the host, and wait until it is at work."""
    alone = scene.stack.consumers(AI)
    worker = scene.stack.start(WORKER, addresses, slots=HOST_SLOTS, prefix=host.prefix)
    what = "the worker on the second host consumes"
    wait_until(lambda: scene.stack.consumers(AI) > alone, seconds=READY_SECONDS, what=what)
    await_work(scene, worker)
    scene.say("a worker on another host has joined and is at work")
    return worker


CASES: Sequence[Case] = (
    Case(
        name="host-joins",
        title="a second host joins and leaves, joins again and is cut off at work",
        part=Part.HOST,
        story="No setting knows hosts: it takes its share at once. What it was running when it went is run elsewhere, "
        "though RabbitMQ still believes it is there.",
        fault=host_joins,
        duplicates=HOST_SLOTS,
        recovery=AFTER_LOCK,
        instances=80,
        over=40.0,
        strikes=EARLY,
        lane=Lane.FULL,
    ),
)
