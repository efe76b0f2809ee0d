"""Writes docs/reliability.md from the results of several seeds: pure text, of values that were read from JSON.

The page begins with the reader's question, and every sentence with a figure is made of the results.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.chaos.case import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Outcome = dict[str, Any]
"""What a run says of one case, as `report` writes it."""

OPENING = """\
# Reliability

What happens when a part dies while work is under way?

Here every part dies under load, in each way the chaos suite knows, and the tables say what became of the work.
`make reliability` writes this page from the results of its runs; it is not edited by hand."""

TERMS = """\
| word | means |
|---|---|
| lost | effects that the model demands and that never came; the bound is 0 everywhere |
| twice | effects beyond the first of a step, which at-least-once allows; the bound is what was at work in that moment |
| recovery | seconds from the end of the fault, or of the load if that is later, until every instance has ended |

Figures are given seed by seed. An instance alone takes three to four seconds, which is in every recovery.
Our engine takes results in lists; rows that say so were run with one call for each, as a stock engine takes them."""

LOAD = """\
Instances start at random moments. Each has three branches at once: in one a step fails twice and then succeeds,
in one a step ends in a BPMN error that the model catches, in one a timer cuts a step short; a last step joins them.
Every step brings a line to the disk when it begins and when it has had its effect, and these lines are counted."""

REPRODUCE = """\
`CONTRIBUTING.md` says how the suite works, `docs/operating.md` what to do about each of these,
and a table in `ARCHITECTURE.md` what waits for what, with the default settings."""

UNCOVERED = """\
- **Clusters.** One RabbitMQ, one Redis, one engine. What their clusters do when they split is not seen here.
- **Hosts that lose their power.** Processes die here, disks do not: what the system had taken, it writes.
- **Long outages and large backlogs.** Faults last seconds to a minute, with some hundred steps.
- **Full disks and full memory**, of any part.
- **A slow or half-open Redis.** It is stopped and emptied, no more.
- **Other brokers and engines.** Valkey as broker is weaker (`docs/operating.md`), and engines other than Camunda 7 are
  reached by the same calls, but neither is struck here.
- **Effects outside.** A step that ran twice had its effect twice: what that means at a bank, its author decides
  (`docs/writing-tasks.md`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One seed, as its JSON says."""

    seed: int
    day: str
    seconds: float
    versions: Mapping[str, str]
    settings: Mapping[str, str]
    slots: Mapping[str, int]
    outcomes: Sequence[Outcome]


def page_of(runs: Sequence[Run]) -> str:
    """Write the page; the runs have the same cases in the same order."""
    cases = list(zip(*(run.outcomes for run in runs), strict=True))
    by_part = {part: struck for part in Part if (struck := [case for case in cases if case[0]["part"] == part])}
    sections = [
        OPENING,
        _in_short(runs),
        _overview(by_part),
        TERMS,
        *(_section(part, struck) for part, struck in by_part.items()),
        "## What it ran on",
        LOAD,
        _ground(runs),
        "## Run it yourself",
        _commands(runs),
        REPRODUCE,
        "## What is not covered",
        UNCOVERED,
    ]
    return "\n\n".join(sections) + "\n"


def _in_short(runs: Sequence[Run]) -> str:
    every = [outcome for run in runs for outcome in run.outcomes]
    broken = [_broken(run.seed, outcome) for run in runs for outcome in run.outcomes if not outcome["passed"]]
    summary = (
        f"Runs: {len(runs)}, each of {len(runs[0].outcomes)} cases; {_sum(every, 'instances')} instances with "
        f"{_sum(every, 'effects')} effects. **Lost: {_sum(every, 'lost')}. Twice: {_sum(every, 'duplicates')}. "
        f"Cases that broke a bound: {len(broken)}.**"
    )
    return summary + ("\n\nBroken:\n\n" + "\n".join(broken) if broken else "")


def _overview(by_part: Mapping[Part, Sequence[Sequence[Outcome]]]) -> str:
    head = (
        "| what if | cases | lost | twice, in a run | all ended, after the fault, within |",
        "|---|---|---|---|---|",
    )
    return "\n".join([*head, *(_glance(part, struck) for part, struck in by_part.items())])


def _glance(part: Part, struck: Sequence[Sequence[Outcome]]) -> str:
    every = [outcome for case in struck for outcome in case]
    worst = _worst([outcome["recovery_seconds"] for outcome in every])
    twice = max(outcome["duplicates"] for outcome in every)
    anchor = "".join(c for c in part.lower().replace(" ", "-") if c.isalnum() or c == "-")
    in_time = "never" if worst is None else f"{worst:.1f} s"
    return f"| [{part}](#{anchor}) | {len(struck)} | {_sum(every, 'lost')} | {twice} at most | {in_time} |"


def _commands(runs: Sequence[Run]) -> str:
    seed, seeds = runs[0].seed, " ".join(str(run.seed) for run in runs)
    commands = (
        (f"make chaos SEED={seed}", "one run of everything; the seed decides every moment and amount"),
        (f'make chaos SEED={seed} ONLY="{runs[0].outcomes[0]["case"]}"', "one case"),
        (f'make reliability SEEDS="{seeds}"', "all runs, and this page"),
    )
    width = max(len(command) for command, _ in commands)
    return "\n".join(["```", *(f"{command:<{width}}  # {words}" for command, words in commands), "```"])


def _broken(seed: int, outcome: Outcome) -> str:
    return f"- `{outcome['case']}`, seed {seed}: {'; '.join(map(_plain, outcome['problems']))}"


def _section(part: Part, cases: Sequence[Sequence[Outcome]]) -> str:
    head = (
        f"## {part}",
        "",
        "| fault | what happens | lost | twice | at most | recovery, s | median | worst | at most |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    measured = [line for case in cases for line in _measured(case)]
    return "\n".join([*head, *map(_row, cases), *(["", *measured] if measured else [])])


def _row(case: Sequence[Outcome]) -> str:
    first, recoveries = case[0], [outcome["recovery_seconds"] for outcome in case]
    cells = (
        f"{_plain(first['fault'])} (`{first['case']}`)",
        _plain(first["story"]),
        _each(outcome["lost"] for outcome in case),
        _each(outcome["duplicates"] for outcome in case),
        first["duplicates_bound"],
        ", ".join(map(_seconds, recoveries)),
        _seconds(_median(recoveries)),
        _seconds(_worst(recoveries)),
        f"{first['recovery_bound_seconds']:g}",
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _measured(case: Sequence[Outcome]) -> Iterator[str]:
    for what, limit in case[0]["measured"].items():
        found = ", ".join(_seconds(outcome["measured"][what]["seconds"]) for outcome in case)
        yield f"`{case[0]['case']}`: {what} after {found} s, at most {limit['bound_seconds']:g}."


def _ground(runs: Sequence[Run]) -> str:
    first = runs[0]
    rows = [
        ("date", " and ".join(dict.fromkeys(run.day for run in runs))),
        *((name, version) for name, version in first.versions.items()),
        ("seeds", _each(run.seed for run in runs)),
        ("a run takes", f"{median(run.seconds for run in runs) / 60:.0f} minutes"),
        ("slots", ", ".join(f"{slots} of `{queue}`" for queue, slots in first.slots.items())),
        ("settings", ", ".join(f"`{name}={value}`" for name, value in first.settings.items())),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {_plain(value)} |" for name, value in rows)])


def _sum(outcomes: Sequence[Outcome], what: str) -> str:
    return f"{sum(outcome[what] for outcome in outcomes):,}"


def _each(values: Iterator[object]) -> str:
    return ", ".join(str(value) for value in values)


def _median(recoveries: Sequence[float | None]) -> float | None:
    return None if None in recoveries else median(seconds for seconds in recoveries if seconds is not None)


def _worst(recoveries: Sequence[float | None]) -> float | None:
    return None if None in recoveries else max(seconds for seconds in recoveries if seconds is not None)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"


def _plain(text: str) -> str:
    """Return a text that stays in its cell of a table."""
    return " ".join(text.replace("|", "\\|").split())
