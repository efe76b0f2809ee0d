"""The faults: each is brought about while a case's load runs, and returns when it is over.

Over means: what the fault took down and nothing in the world would restart was started again. Recovery is counted from
there.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.chaos import effects, moments
from tests.chaos.copies import copy_waiting
from tests.chaos.proxy import Direction
from tests.chaos.stack import AI, AI_SLOTS, BRIDGE, GENERIC, TASK_QUEUES
from tests.local_stack import wait_until
from tests.services import pause

if TYPE_CHECKING:
    import random
    import re
    from collections.abc import Callable, Mapping

    from tests.chaos.program import Program
    from tests.chaos.proxy import Link
    from tests.chaos.stack import Stack
    from tests.services import Service

OUTAGE_SECONDS = 20.0
MOMENT_SECONDS = 20.0
"""Within which the awaited message must come along; else the fault did not happen, and the case fails."""
LOOK_SECONDS = 0.02
LOCKS_OUT_SECONDS, LATE_SECONDS = 18.0, 10.0
"""The suite's locks are 15 s."""
GOODBYE_SECONDS = 40.0
REPLACED = 2
FAKETIME = Path("/usr/lib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a fault may touch."""

    stack: Stack
    rng: random.Random
    effects_file: Path
    say: Callable[[str], None]


def nothing(_: Scene) -> None:
    """Let nothing happen."""


def worker_killed(scene: Scene) -> None:
    """Kill the main process of both workers, each while it is at work, and nothing else."""
    for name in TASK_QUEUES:
        worker = scene.stack.programs[name]
        _await_work(scene, worker)
        worker.kill()
        scene.say(f"worker {name} killed")
    for name in TASK_QUEUES:
        scene.stack.programs[name].wait()
        scene.stack.start(name)


def child_killed(scene: Scene) -> None:
    """Kill a process of the prefork pool while it is at work."""
    pid = _await_work(scene, scene.stack.programs[GENERIC])
    child = psutil.Process(pid)
    child.send_signal(signal.SIGKILL)
    scene.say(f"pool process {child.pid} killed")


def bridge_killed(scene: Scene, *, link: str, pattern: re.Pattern[bytes], direction: Direction) -> None:
    """Kill the bridge when a message is about to be forwarded, which is lost; then start it again."""
    bridge = scene.stack.programs[BRIDGE]
    watched: Link = getattr(scene.stack, link)
    moment = moments.Moment(pattern, direction, bridge.kill)
    watched.watch(moment)
    try:
        if not moment.struck.wait(MOMENT_SECONDS):
            raise TimeoutError("the moment to kill the bridge did not come")
    finally:
        watched.watch()
    bridge.wait()
    scene.say("bridge killed")
    scene.stack.start(BRIDGE)


after_fetch = partial(bridge_killed, link="bridge_engine", pattern=moments.FETCHED, direction=Direction.TO_CLIENT)
after_reserving = partial(bridge_killed, link="bridge_redis", pattern=moments.RESERVED, direction=Direction.TO_CLIENT)
after_publishing = partial(
    bridge_killed, link="bridge_broker", pattern=moments.CONFIRMED, direction=Direction.TO_CLIENT
)
after_result = partial(bridge_killed, link="bridge_engine", pattern=moments.COMPLETING, direction=Direction.TO_SERVICE)


def broker_stopped(scene: Scene) -> None:
    """Stop RabbitMQ for a while."""
    _stopped(scene, scene.stack.services.broker)


def broker_killed(scene: Scene) -> None:
    """Kill RabbitMQ, and start it again at once."""
    _killed(scene, scene.stack.services.broker)


def redis_stopped(scene: Scene) -> None:
    """Stop Redis for a while; its append-only file brings the data back."""
    _stopped(scene, scene.stack.services.redis)


def redis_flushed(scene: Scene) -> None:
    """Empty Redis."""
    scene.stack.redis.flushall()
    scene.say("Redis flushed")


def engine_stopped(scene: Scene) -> None:
    """Stop the engine for a while."""
    _stopped(scene, scene.stack.engine)


def engine_killed(scene: Scene) -> None:
    """Kill the engine, and start it again at once."""
    _killed(scene, scene.stack.engine)


def answers_lost(scene: Scene, *, part: float = 0.3, seconds: float = 10.0) -> None:
    """Lose a part of the answers to completions after the engine has committed them."""
    rule = moments.LostAnswers(part, scene.rng)
    scene.stack.bridge_engine.watch(rule)
    pause(seconds)
    scene.stack.bridge_engine.watch()
    scene.say(f"{rule.lost} answers lost")
    if not rule.lost:
        raise RuntimeError("no answer was lost: the fault did not happen")


def fetches_torn(scene: Scene, *, part: float = 0.5, seconds: float = 8.0) -> None:
    """Let the engine hand out a part of the tasks without their variables."""
    rule = moments.TornFetches(part, scene.rng)
    scene.stack.bridge_engine.watch(rule)
    pause(seconds)
    scene.stack.bridge_engine.watch()
    scene.say(f"{rule.torn} tasks came without their variables")
    if not rule.torn:
        raise RuntimeError("no task was torn: the fault did not happen")


def fetches_late(scene: Scene) -> None:
    """Cut the engine off until the locks have run out; what it then gives out anew is completed on the way."""
    link, rule = scene.stack.bridge_engine, moments.LateFetches(completions=6.0, fetches=8.0)
    link.refuse()
    scene.say("engine cut off until the locks have run out")
    pause(LOCKS_OUT_SECONDS)
    link.watch(rule)
    link.accept()
    pause(LATE_SECONDS)
    link.watch()
    scene.say(f"{rule.delayed} fetches were answered late")
    if not rule.delayed:
        raise RuntimeError("no fetch was answered late: the fault did not happen")


def engine_busy(scene: Scene, *, part: float = 0.3, seconds: float = 10.0) -> None:
    """Answer a part of the bridge's requests with 503."""
    rule = moments.BusyEngine(part, scene.rng)
    scene.stack.bridge_engine.watch(rule)
    pause(seconds)
    scene.stack.bridge_engine.watch()
    scene.say(f"{rule.refused} requests refused")
    if not rule.refused:
        raise RuntimeError("no request was refused: the fault did not happen")


def engine_slow(scene: Scene, *, latency: float = 0.5, seconds: float = 20.0) -> None:
    """Delay what the engine and the bridge say to each other."""
    scene.stack.bridge_engine.delay(latency)
    pause(seconds)
    scene.stack.bridge_engine.delay(0.0)
    scene.say("the engine answers at once again")


def worker_link_frozen(scene: Scene, *, seconds: float = 45.0) -> None:
    """Let nothing through between workers and RabbitMQ, while every connection stays open."""
    scene.stack.worker_broker.freeze()
    pause(seconds)
    scene.stack.worker_broker.freeze(frozen=False)
    scene.say("the link flows again")


def published_twice(scene: Scene) -> None:
    """Give the workers copies of messages that wait for them, as an unknown publish tried again would."""
    worker = scene.stack.programs[AI]
    worker.freeze()
    try:
        copied = copy_waiting(scene.stack.broker, AI, most=AI_SLOTS, seconds=MOMENT_SECONDS)
    finally:
        worker.freeze(frozen=False)
    scene.say(f"{copied} messages are there twice")


def clock_skewed(scene: Scene, *, seconds: float = 12.0) -> None:
    """Let the bridge believe that it is ten minutes later, then ten minutes earlier."""
    library = next(iter(sorted(FAKETIME.glob("*/faketime/libfaketime.so.1"))), None)
    if library is None:
        raise RuntimeError("libfaketime is not installed: apt-get install libfaketime")
    for offset in ("+10m", "-10m", None):
        skew = {"LD_PRELOAD": str(library), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if offset else {}
        _bridge_restarted(scene, skew)
        scene.say(f"the bridge's clock is off by {offset}" if offset else "the bridge's clock is right again")
        pause(seconds if offset else 0.0)


def rolling_restart(scene: Scene) -> None:
    """Replace workers and bridge one by one: by a signal to the process, then by one to its whole group."""
    for group in (False, True):
        for name in TASK_QUEUES:
            _replaced(scene, name, group=group)
        _bridge_restarted(scene, group=group)
        scene.say("bridge replaced")


def _bridge_restarted(scene: Scene, environment: Mapping[str, str] | None = None, *, group: bool = False) -> None:
    """Ask the bridge to end, and start it again."""
    scene.stack.programs[BRIDGE].terminate(group=group)
    scene.stack.programs[BRIDGE].wait(GOODBYE_SECONDS)
    scene.stack.start(BRIDGE, environment)
    scene.stack.await_consumers()


def _replaced(scene: Scene, name: str, *, group: bool) -> None:
    """Start a worker's successor, then ask it to end."""
    old = scene.stack.programs[name]
    scene.stack.start(name)
    wait_until(lambda: scene.stack.consumers(name) >= REPLACED, seconds=60.0, what=f"a second worker {name} consumes")
    old.terminate(group=group)
    old.wait(GOODBYE_SECONDS)
    scene.say(f"worker {name} replaced, by a signal to {'its group' if group else 'the process'}")


def _await_work(scene: Scene, worker: Program) -> int:
    """Wait until a step runs in a process of this worker, and return the process."""
    deadline = time.monotonic() + MOMENT_SECONDS
    while time.monotonic() < deadline:
        for pid in effects.under_way(effects.read(scene.effects_file)):
            if _group_of(pid) == worker.pid:
                return pid
        pause(LOOK_SECONDS)
    raise TimeoutError(f"worker {worker.name} was not at work within {MOMENT_SECONDS:g} s")


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _stopped(scene: Scene, service: Service) -> None:
    links = scene.stack.links_to(service)
    service.stop()
    for link in links:
        link.refuse()
    scene.say(f"{service.part.name} stopped for {OUTAGE_SECONDS:g} s")
    pause(OUTAGE_SECONDS)
    _brought_back(scene, service)


def _killed(scene: Scene, service: Service) -> None:
    service.kill()
    for link in scene.stack.links_to(service):
        link.refuse()
    scene.say(f"{service.part.name} killed")
    _brought_back(scene, service)


def _brought_back(scene: Scene, service: Service) -> None:
    service.start()
    for link in scene.stack.links_to(service):
        link.accept()
    scene.say(f"{service.part.name} is back")
