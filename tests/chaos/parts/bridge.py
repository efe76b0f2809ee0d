"""Faults of the bridge: killed between two messages, or with a clock that is wrong."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import moments
from tests.chaos.case import AFTER_LOCK, AFTER_OUTAGE, EARLY, Case, Lane, Part, Verdicts, both_ways
from tests.chaos.scene import MOMENT_SECONDS, restart_bridge
from tests.chaos.stack import BRIDGE, SLOTS
from tests.chaos.traffic import Direction
from tests.services import pause

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from tests.chaos.program import Program
    from tests.chaos.proxy import Link
    from tests.chaos.scene import Scene

FAKETIME = Path("/usr/lib")


def killed_at(
    program: Program, link: Link, *, pattern: re.Pattern[bytes], direction: Direction = Direction.TO_CLIENT
) -> None:
    """Kill a program when a message is about to be forwarded, which is lost.

    Raises:
        TimeoutError: no such message came along.
    """
    moment = moments.Moment(pattern, direction, program.kill)
    link.watch(moment)
    try:
        if not moment.struck.wait(MOMENT_SECONDS):
            raise TimeoutError(f"the moment to kill {program.name} did not come")
    finally:
        link.watch()
    program.wait()


def bridge_killed(
    scene: Scene, *, link: str, pattern: re.Pattern[bytes], direction: Direction = Direction.TO_CLIENT
) -> None:
    """Kill the bridge between two messages, then start it again."""
    killed_at(scene.stack.programs[BRIDGE], getattr(scene.stack, link), pattern=pattern, direction=direction)
    scene.say("bridge killed")
    scene.stack.start(BRIDGE)


after_fetch = partial(bridge_killed, link="bridge_engine", pattern=moments.FETCHED)
after_reserving = partial(bridge_killed, link="bridge_redis", pattern=moments.RESERVED)
after_publishing = partial(bridge_killed, link="bridge_broker", pattern=moments.CONFIRMED)
after_result = partial(bridge_killed, link="bridge_engine", pattern=moments.COMPLETING, direction=Direction.TO_SERVICE)


def clock_skewed(scene: Scene, *, seconds: float = 12.0) -> None:
    """Let the bridge believe that it is ten minutes later, then ten minutes earlier."""
    library = next(iter(sorted(FAKETIME.glob("*/faketime/libfaketime.so.1"))), None)
    if library is None:
        raise RuntimeError("libfaketime is not installed: apt-get install libfaketime")
    for offset in ("+10m", "-10m", None):
        skew = {"LD_PRELOAD": str(library), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if offset else {}
        restart_bridge(scene, skew)
        scene.say(f"the bridge's clock is off by {offset}" if offset else "the bridge's clock is right again")
        pause(seconds if offset else 0.0)


CASES: Sequence[Case] = (
    Case(
        name="bridge-kill-fetched",
        title="killed (SIGKILL) when the engine has handed out steps",
        part=Part.BRIDGE,
        story="Started again, it gives back what it had locked and not published.",
        fault=after_fetch,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
    ),
    Case(
        name="bridge-kill-reserved",
        title="killed when steps are in the ledger",
        part=Part.BRIDGE,
        story="Started again, it has them offered anew and publishes them under the same id.",
        fault=after_reserving,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
    ),
    Case(
        name="bridge-kill-published",
        title="killed when RabbitMQ has its messages",
        part=Part.BRIDGE,
        story="The workers have them already; a second copy has the same id and is not run.",
        fault=after_publishing,
        duplicates=SLOTS,
        recovery=AFTER_LOCK,
    ),
    *both_ways(
        Case(
            name="bridge-kill-result",
            title="killed with results in hand",
            part=Part.BRIDGE,
            story="What was not reported was not acknowledged: RabbitMQ gives it to the next bridge.",
            fault=after_result,
            duplicates=0,
            recovery=AFTER_LOCK,
        ),
        short=(Verdicts.LISTED,),
    ),
)

CLOCKS: Sequence[Case] = (
    Case(
        name="clock-skew",
        title="the bridge's clock 10 minutes ahead, then 10 behind",
        part=Part.ORDER,
        story="Nothing: deadlines come from clocks that only run forwards, and from Redis and the engine.",
        fault=clock_skewed,
        duplicates=0,
        recovery=AFTER_OUTAGE,
        instances=80,
        over=30.0,
        strikes=EARLY,
        lane=Lane.FULL,
    ),
)
