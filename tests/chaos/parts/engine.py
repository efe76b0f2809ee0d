"""Faults of the engine and its database: away, killed, busy, slow, deaf in one ear, or with answers that get lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos import moments
from tests.chaos.case import AFTER_LOCK, AFTER_OUTAGE, PROMPT, Case, Lane, Part, Verdicts, both_ways
from tests.chaos.parts.services import bring_back, cut_off, killed, stopped
from tests.chaos.scene import OUTAGE_SECONDS, leave, must_have_happened
from tests.chaos.stack import BRIDGE
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.scene import Scene
    from tests.chaos.traffic import Rule

LOCKS_OUT_SECONDS, LATE_SECONDS = 18.0, 10.0
"""The suite's locks are 15 s."""
DATABASE_SECONDS = 5.0


def engine_stopped(scene: Scene) -> None:
    """Stop the engine for a while."""
    stopped(scene, scene.stack.engine)


def engine_killed(scene: Scene) -> None:
    """Kill the engine, and start it again at once."""
    killed(scene, scene.stack.engine)


def bridge_restarted_meanwhile(scene: Scene) -> None:
    """Stop the engine; while it is away let the bridge end and start, then kill it and start it again."""
    stack = scene.stack
    cut_off(scene, stack.engine)
    pause(OUTAGE_SECONDS / 4)
    leave(stack.programs[BRIDGE])
    stack.start(BRIDGE)
    scene.say("bridge replaced while the engine is away")
    pause(OUTAGE_SECONDS / 4)
    stack.programs[BRIDGE].kill()
    stack.programs[BRIDGE].wait()
    stack.start(BRIDGE)
    scene.say("bridge killed and started again while the engine is away")
    pause(OUTAGE_SECONDS / 4)
    bring_back(scene, stack.engine)


def database_restarted(scene: Scene) -> None:
    """Crash the engine's PostgreSQL, and start it again after a while; it recovers from its log."""
    assert scene.stack.postgres is not None
    scene.stack.postgres.stop()
    scene.say("PostgreSQL stopped at once")
    pause(DATABASE_SECONDS)
    scene.stack.postgres.start()
    scene.say("PostgreSQL is back")


def answers_lost(scene: Scene, *, part: float = 0.3, seconds: float = 10.0) -> None:
    """Lose a part of the answers to completions after the engine has committed them."""
    rule = moments.LostAnswers(part, scene.rng)
    _rule_for(scene, rule, seconds)
    scene.say(f"{rule.lost} answers lost")
    must_have_happened(rule.lost, "no answer was lost")


def fetches_torn(scene: Scene, *, part: float = 0.5, seconds: float = 8.0) -> None:
    """Let the engine hand out a part of the tasks without their variables."""
    rule = moments.TornFetches(part, scene.rng)
    _rule_for(scene, rule, seconds)
    scene.say(f"{rule.torn} tasks came without their variables")
    must_have_happened(rule.torn, "no task was torn")


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
    must_have_happened(rule.delayed, "no fetch was answered late")


def engine_busy(scene: Scene, *, part: float = 0.3, seconds: float = 10.0) -> None:
    """Answer a part of the bridge's requests with 503."""
    rule = moments.BusyEngine(part, scene.rng)
    _rule_for(scene, rule, seconds)
    scene.say(f"{rule.refused} requests refused")
    must_have_happened(rule.refused, "no request was refused")


def engine_slow(scene: Scene, *, latency: float = 0.5, seconds: float = 20.0) -> None:
    """Delay what the engine and the bridge say to each other."""
    scene.stack.bridge_engine.delay(latency)
    pause(seconds)
    scene.stack.bridge_engine.delay(0.0)
    scene.say("the engine answers at once again")


def _rule_for(scene: Scene, rule: Rule, seconds: float) -> None:
    scene.stack.bridge_engine.watch(rule)
    pause(seconds)
    scene.stack.bridge_engine.watch()


OUTAGES: Sequence[Case] = (
    *both_ways(
        Case(
            name="engine-stop",
            title=f"stopped for {OUTAGE_SECONDS:g} s",
            part=Part.ENGINE,
            story="Queued steps run on, results wait in the queue `callbacks`; locks that ran out are taken again.",
            fault=engine_stopped,
            duplicates=0,
            recovery=AFTER_OUTAGE,
        ),
        short=tuple(Verdicts),
    ),
    *both_ways(
        Case(
            name="engine-kill-h2",
            title="killed (SIGKILL), on H2",
            part=Part.ENGINE,
            story="What it had answered is on its disk; what it had not is reported again.",
            fault=engine_killed,
            duplicates=0,
            recovery=AFTER_OUTAGE,
        ),
        short=(Verdicts.ALONE,),
    ),
    Case(
        name="engine-stop-bridge",
        title=f"stopped for {OUTAGE_SECONDS:g} s, the bridge replaced and killed meanwhile",
        part=Part.ENGINE,
        story="A bridge that starts without an engine waits for it; the results wait in `callbacks` for the bridge.",
        fault=bridge_restarted_meanwhile,
        duplicates=0,
        recovery=AFTER_LOCK,
        lane=Lane.FULL,
    ),
)

ANSWERS: Sequence[Case] = (
    *both_ways(
        Case(
            name="answers-lost",
            title="30 % of its answers lost after it has committed",
            part=Part.ENGINE,
            story="The result is reported again, and `gone` means that the engine has it.",
            fault=answers_lost,
            duplicates=0,
            recovery=AFTER_OUTAGE,
        ),
        short=tuple(Verdicts),
    ),
    *both_ways(
        Case(
            name="fetches-torn",
            title="half of the steps handed out without their variables",
            part=Part.ENGINE,
            story="Such a step is given back and fetched again with them.",
            fault=fetches_torn,
            duplicates=0,
            recovery=PROMPT,
        ),
        short=(Verdicts.ALONE,),
    ),
    *both_ways(
        Case(
            name="fetches-late",
            title="away until locks ran out, then slow to answer fetches",
            part=Part.ENGINE,
            story="A step that ended while its fetch was answered is not dispatched.",
            fault=fetches_late,
            duplicates=0,
            recovery=AFTER_OUTAGE,
            lane=Lane.FULL,
        )
    ),
    *both_ways(
        Case(
            name="engine-busy",
            title="30 % of its answers are 503",
            part=Part.ENGINE,
            story="Each call is made again, at growing distances.",
            fault=engine_busy,
            duplicates=0,
            recovery=AFTER_OUTAGE,
        )
    ),
    *both_ways(
        Case(
            name="engine-slow",
            title="500 ms late in both directions, for 20 s",
            part=Part.ENGINE,
            story="Steps take longer; locks are extended in time.",
            fault=engine_slow,
            duplicates=0,
            recovery=AFTER_OUTAGE,
            over=20.0,
        )
    ),
)

ON_POSTGRES: Sequence[Case] = (
    *both_ways(
        Case(
            name="engine-kill-postgres",
            title="killed (SIGKILL), on PostgreSQL",
            part=Part.ENGINE,
            story="As on H2.",
            fault=engine_killed,
            duplicates=0,
            recovery=AFTER_OUTAGE,
            on_postgres=True,
        ),
        short=(Verdicts.LISTED,),
    ),
    Case(
        name="postgres-restart",
        title=f"PostgreSQL stopped at once, started again after {DATABASE_SECONDS:g} s",
        part=Part.DATABASE,
        story="An engine without its database counts as busy: results wait, and nothing is taken for refused.",
        fault=database_restarted,
        duplicates=0,
        recovery=AFTER_LOCK,
        on_postgres=True,
        lane=Lane.FULL,
    ),
)
