"""Faults of workers: one is killed, one of its processes is, a task kills it, or it is replaced."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil

from tests.chaos.case import AFTER_LOCK, AFTER_OUTAGE, EARLY, Case, Lane, Part, Verdicts, both_ways
from tests.chaos.scene import await_work, leave, nothing, restart_bridge
from tests.chaos.stack import GENERIC, GENERIC_SLOTS, SLOTS, TASK_QUEUES
from tests.local_stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.scene import Scene

REPLACED = 2
READY_SECONDS = 60.0


def worker_killed(scene: Scene) -> None:
    """Kill the main process of both workers, each while it is at work, and nothing else."""
    for name in TASK_QUEUES:
        worker = scene.stack.programs[name]
        await_work(scene, worker)
        worker.kill()
        scene.say(f"worker {name} killed")
    for name in TASK_QUEUES:
        scene.stack.programs[name].wait()
        scene.stack.start(name)


def child_killed(scene: Scene) -> None:
    """Kill a process of the prefork pool while it is at work."""
    child = psutil.Process(await_work(scene, scene.stack.programs[GENERIC]))
    child.send_signal(signal.SIGKILL)
    scene.say(f"pool process {child.pid} killed")


def rolling_restart(scene: Scene) -> None:
    """Replace workers and bridge one by one: by a signal to the process, then by one to its whole group."""
    for group in (False, True):
        for name in TASK_QUEUES:
            _replaced(scene, name, group=group)
        restart_bridge(scene, group=group)
        scene.say("bridge replaced")


def _replaced(scene: Scene, name: str, *, group: bool) -> None:
    """Start a worker's successor, then ask it to end."""
    old = scene.stack.programs[name]
    scene.stack.start(name)
    consumed = f"a second worker {name} consumes"
    wait_until(lambda: scene.stack.consumers(name) >= REPLACED, seconds=READY_SECONDS, what=consumed)
    leave(old, group=group)
    scene.say(f"worker {name} replaced, by a signal to {'its group' if group else 'the process'}")


CASES: Sequence[Case] = (
    Case(
        name="worker-kill",
        title="both workers killed (SIGKILL), started again",
        part=Part.WORKER,
        story="RabbitMQ gives their messages to others at once; what they were running is run again.",
        fault=worker_killed,
        duplicates=SLOTS,
        recovery=AFTER_OUTAGE,
    ),
    Case(
        name="child-kill",
        title="one process of a worker killed (SIGKILL)",
        part=Part.WORKER,
        story="Celery starts another process, and the step it was running is run again.",
        fault=child_killed,
        duplicates=GENERIC_SLOTS,
        recovery=AFTER_OUTAGE,
        lane=Lane.FULL,
    ),
    Case(
        name="poison",
        title="a task that kills its process, each time",
        part=Part.WORKER,
        story="Three starts, then one incident that says so; the other steps go on.",
        fault=nothing,
        duplicates=GENERIC_SLOTS,
        # Each second start waits 4 s in its slot for a sign of the first, and there are two slots.
        recovery=AFTER_LOCK,
        instances=20,
        poison=3,
    ),
    *both_ways(
        Case(
            name="rolling-restart",
            title="workers and bridge replaced one by one (SIGTERM)",
            part=Part.WORKER,
            story="What is at work ends where it is, results wait in the queue `callbacks`: nobody notices.",
            fault=rolling_restart,
            duplicates=0,
            recovery=AFTER_OUTAGE,
            instances=80,
            over=35.0,
            strikes=EARLY,
        ),
        short=(Verdicts.LISTED,),
    ),
)
