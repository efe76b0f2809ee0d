"""What a run of the benchmark found, as it is written to JSON and read again by the document."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.benchmarks.restart import Outage
from tests.benchmarks.rounds import RoundResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.profiles import Profile


@dataclass(slots=True, kw_only=True)
class Results:
    """Everything; filled while the benchmark runs."""

    is_quick: bool = False
    date: str = ""
    minutes: float = 0.0
    warm_up: int = 0
    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    rounds: dict[str, list[RoundResult]] = field(default_factory=dict)
    """By scenario."""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """By contender: seconds from the moment the start of an instance had returned to its end."""
    idle_bridge: float | None = None
    """The part of one core the bridge uses while there is nothing to do."""
    outages: list[Outage] = field(default_factory=list)
    profiles: dict[str, Profile] = field(default_factory=dict)
    """By scenario: where the CPU time of bridge and worker went."""
    missing: dict[str, str] = field(default_factory=dict)
    """Contenders that could not be had, and why."""
    failures: list[str] = field(default_factory=list)

    def of(self, scenario: str, contender: str) -> Sequence[RoundResult]:
        """Return the rounds of one contender in one scenario."""
        return [one for one in self.rounds.get(scenario, []) if one.contender == contender]

    def write(self, file: Path) -> None:
        """Write it to a file."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


def read(file: Path) -> Results:
    """Read what `Results.write` wrote."""
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    rounds = {name: [RoundResult(**one) for one in found] for name, found in document.pop("rounds").items()}
    outages = [Outage(**one) for one in document.pop("outages")]
    return Results(**document, rounds=rounds, outages=outages)
