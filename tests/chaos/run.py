"""One case from its first instance to its verdict."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests

from tests.chaos import effects, invariants
from tests.chaos.accounts import account, unbalanced
from tests.chaos.load import ORDER, POISON, Load, drawn
from tests.chaos.scene import Scene
from tests.chaos.ways import Way
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.chaos.case import Case
    from tests.chaos.effects import Count
    from tests.chaos.stack import Stack

LOOK_SECONDS = 0.25
GRACE_SECONDS = 45.0
"""Beyond the bound: what comes that late is a broken bound, but not lost."""
MOST_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a case."""

    case: Case
    instances: int
    ended: int
    count: Count
    recovery: float | None
    seconds: float
    problems: Sequence[str]
    measured: Mapping[str, float] = field(default_factory=dict)
    """Seconds of what else the case sets a limit to."""
    history: Sequence[str] = field(default=())
    """What happened at the places that were lost or done twice."""

    @property
    def passed(self) -> bool:
        """Whether every invariant held."""
        return not self.problems


class CaseRun:
    """Runs one case against the stack; `say` hears what happens."""

    def __init__(self, stack: Stack, case: Case, seed: int, say: Callable[[str], None]) -> None:
        self._stack, self._case, self._say = stack, case, say
        self._rng = random.Random(f"{seed}/{case.name}")  # noqa: S311  # to be replayed, not to be secret
        self._effects = stack.folder / f"effects-{case.name}.jsonl"
        self._orders = drawn(case.name, ORDER, case.instances, case.over, self._rng)
        self._poison = drawn(case.name, POISON, case.poison, case.over, self._rng)
        self._every = sorted([*self._orders, *self._poison], key=lambda order: order.after)
        self._measured: dict[str, float] = {}
        self._load = Load(stack, self._every, self._effects)

    def run(self) -> Result:
        """Bring the load and the fault about, await the end, and judge."""
        begun = time.monotonic()
        self._stack.choose_engine(on_postgres=self._case.on_postgres)
        way = self._led()
        problems: list[str] = []
        before = account(self._stack)
        over = self._strike(problems)
        ended_at = self._await_end(over)
        problems += invariants.unsettled(self._stack)
        if self._case.keeps_books:
            self._attempt(lambda: problems.extend(unbalanced(before, account(self._stack))), problems)
        if self._case.counts_verdicts:
            problems += way.unlike()
        result = self._judged(begun, over, ended_at, problems)
        self._clear(result)
        return result

    def _led(self) -> Way:
        """Let the engine be one that takes lists of verdicts, or one that does not."""
        way = Way(self._case.verdicts)
        for link in self._stack.engine_links:
            link.always(way)
        return way

    def _strike(self, problems: list[str]) -> float:
        """Start the load and let the fault strike in the midst of it; returns when both were over."""
        self._load.start()
        pause(self._case.over * self._rng.uniform(*self._case.strikes))
        self._attempt(lambda: self._case.fault(self._scene()), problems)
        self._stack.whole()
        self._attempt(self._load.join, problems)
        return time.monotonic()

    def _attempt(self, act: Callable[[], None], problems: list[str]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  # whatever keeps a fault from happening is the case's failure
            problems.append(f"{type(error).__name__}: {error}")

    def _scene(self) -> Scene:
        return Scene(
            stack=self._stack,
            rng=self._rng,
            effects_file=self._effects,
            say=self._say,
            measured=self._measured.__setitem__,
        )

    def _await_end(self, over: float) -> float | None:
        """Return when every instance had ended, or None."""
        deadline = over + self._case.recovery + GRACE_SECONDS
        while time.monotonic() < deadline:
            ended = self._ended()
            self._say(f"{self._load.started} started, {ended} ended")
            if ended == len(self._every):
                return time.monotonic()
            pause(LOOK_SECONDS)
        return None

    def _ended(self) -> int:
        view, prefix = self._stack.view, f"{self._case.name}."
        try:
            stuck = view.incidents(row["id"] for row in view.running(prefix + POISON)) if self._poison else []
            return view.completed(prefix) + len(stuck)
        except requests.RequestException:
            return 0

    def _judged(self, begun: float, over: float, ended_at: float | None, problems: list[str]) -> Result:
        entries = effects.read(self._effects)
        count = effects.count(entries, [order.business_key for order in self._orders])
        recovery = None if ended_at is None else ended_at - over
        problems += [*self._broken(count, recovery), *self._stack.end_past()]
        places = [*count.lost[:MOST_NAMED], *list(count.duplicated)[:MOST_NAMED]]
        return Result(
            case=self._case,
            instances=len(self._every),
            ended=self._ended(),
            count=count,
            recovery=recovery,
            seconds=time.monotonic() - begun,
            problems=problems,
            measured=self._measured,
            history=[f"{place}: {'; '.join(effects.told(entries, place))}" for place in places],
        )

    def _broken(self, count: Count, recovery: float | None) -> Sequence[str]:
        case, found = self._case, list(self._stuck())
        if count.lost:
            named = ", ".join(f"{instance}/{activity}" for instance, activity in count.lost[:MOST_NAMED])
            found.append(f"{len(count.lost)} effects are lost: {named}")
        if count.duplicates > case.duplicates:
            named = ", ".join(f"{instance}/{activity}" for instance, activity in list(count.duplicated)[:MOST_NAMED])
            found.append(f"{count.duplicates} effects are duplicates, bound {case.duplicates}: {named}")
        if recovery is not None and recovery > case.recovery:
            found.append(f"recovered after {recovery:.1f} s, bound {case.recovery:g} s")
        for what, limit in case.limits.items():
            seconds = self._measured.get(what)
            if seconds is None or seconds > limit:
                found.append(f"{what} {'never' if seconds is None else f'after {seconds:.1f} s'}, bound {limit:g} s")
        if self._poison:
            found += invariants.broken_by_poison(self._stack, f"{case.name}.{POISON}", count)
        return found

    def _stuck(self) -> Sequence[str]:
        """Name the instances that have not ended, with their incidents."""
        rows = self._stack.view.running(f"{self._case.name}.{ORDER}")
        return [
            f"{row['businessKey']} has not ended; incidents {self._stack.view.incidents([row['id']])}"
            for row in rows[:MOST_NAMED]
        ] + ([f"{len(rows)} instances have not ended"] if len(rows) > MOST_NAMED else [])

    def _clear(self, result: Result) -> None:
        """Leave nothing to the next case."""
        prefix = f"{self._case.name}."
        if result.passed:
            self._stack.view.delete(prefix)
        else:
            invariants.sweep(self._stack, prefix)
