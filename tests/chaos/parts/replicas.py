"""Bridges that come and go beside each other: one is killed, one joins, one leaves, under load.

Their locks are a minute here, so that nothing is taken over because a lock has run out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from procos.queues import Queue
from tests.chaos import moments
from tests.chaos.case import AFTER_LOCK, EARLY, Case, Lane, Part
from tests.chaos.parts.bridge import killed_at
from tests.chaos.scene import leave
from tests.chaos.stack import BRIDGE, READY_SECONDS, SLOTS, TASK_QUEUES
from tests.local_stack import wait_until
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.program import Program
    from tests.chaos.proxy import Link
    from tests.chaos.scene import Scene

SECOND, THIRD = "bridge-second", "bridge-third"
LOCK_SECONDS = 60.0
POLL_SECONDS = 10.0
"""A poll that the dead bridge has parked at the engine may lock more for it until then."""
TAKEN_OVER = "taken over"
WATCHED_SECONDS = 90.0
LOOK_SECONDS = 0.25
ALONE_SECONDS = 5.0


def replicas_change(scene: Scene) -> None:
    """Kill the second of two bridges with steps in hand, let a third join, and let the first leave and come back."""
    victim = _joined(scene, SECOND, scene.stack.replica_engine, together=2)
    killed_at(victim, scene.stack.replica_engine, pattern=moments.FETCHED)
    killed = time.monotonic()
    scene.say("the second bridge killed with steps in hand")
    third = _joined(scene, THIRD, scene.stack.bridge_engine, together=2)
    seconds = _until_nothing_is_held(scene, SECOND, since=killed)
    scene.measured(TAKEN_OVER, seconds)
    scene.say(f"nothing is held by the second bridge after {seconds:.1f} s")
    leave(scene.stack.programs[BRIDGE])
    scene.say("the first bridge has left, the third is alone")
    pause(ALONE_SECONDS)
    scene.stack.start(BRIDGE)
    _await_bridges(scene, 2)
    leave(third)
    scene.say("the first bridge is back, the third has left")


def _joined(scene: Scene, name: str, link: Link, *, together: int) -> Program:
    bridge = scene.stack.start(
        name,
        {
            "PROCOS_ENGINE_URL": f"http://{link.host}:{link.port}/engine-rest",
            "PROCOS_BRIDGE_REPLICA_ID": name,
            "PROCOS_BRIDGE_LOCK_DURATION": f"{LOCK_SECONDS:g}",
            "PROCOS_BRIDGE_HEALTH_PORT": "0",
        },
    )
    _await_bridges(scene, together)
    scene.say(f"{name} has joined")
    return bridge


def _await_bridges(scene: Scene, number: int) -> None:
    """Wait until so many bridges consume results; a bridge that was killed is not among them."""
    what = f"{number} bridges consume"
    wait_until(lambda: scene.stack.consumers(Queue.CALLBACKS) >= number, seconds=READY_SECONDS, what=what)


def _until_nothing_is_held(scene: Scene, replica: str, *, since: float) -> float:
    """Return when the engine last held a lock for a bridge that was killed, in seconds after its death."""
    last = since
    while (now := time.monotonic()) < since + WATCHED_SECONDS:
        if _held(scene, replica):
            last = now
        elif now > since + POLL_SECONDS:
            return last - since
        pause(LOOK_SECONDS)
    raise TimeoutError(f"after {WATCHED_SECONDS:g} s the engine still has {_held(scene, replica)} locks of {replica}")


def _held(scene: Scene, replica: str) -> int:
    view = scene.stack.view
    return sum(
        view.count("/external-task", workerId=f"{replica}/{queue}", locked="true", withRetriesLeft="true")
        for queue in TASK_QUEUES
    )


CASES: Sequence[Case] = (
    Case(
        name="replicas-change",
        title="one of two bridges killed, a third joins, the first leaves",
        part=Part.BRIDGE,
        story="The others report what it had published, and take over what it had not.",
        fault=replicas_change,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
        limits={TAKEN_OVER: 15.0},
        instances=80,
        over=40.0,
        strikes=EARLY,
        keeps_books=False,
        lane=Lane.FULL,
    ),
)
