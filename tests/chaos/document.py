"""`make reliability`: makes docs/reliability.md of the JSON files that runs of the chaos suite have written.

Exit 0: written, and every bound held. 1: written, and it says which bounds were broken. 2: the files cannot be read,
or do not belong together: other cases, other versions, or the same seed twice.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.page import Run, page_of
from tests.local_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = ROOT / "docs" / "reliability.md"
USAGE = 2


def main() -> int:
    """Write the page; returns the exit code."""
    options = _options()
    try:
        runs = [read(file) for file in options.files]
        must_belong_together(runs)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"document: {error}\n")
        return USAGE
    options.output.write_text(page_of(runs), "utf-8")
    broken = sum(not outcome["passed"] for run in runs for outcome in run.outcomes)
    sys.stderr.write(f"{options.output} written from {len(runs)} runs, {broken} cases broken\n")
    return 1 if broken else 0


def read(file: Path) -> Run:
    """Read the results of one seed.

    Raises:
        ValueError: the file is not what `report` writes.
    """
    found = json.loads(file.read_text("utf-8"))
    try:
        return Run(
            seed=found["seed"],
            day=found["date"],
            seconds=found["seconds"],
            versions=found["versions"],
            settings=found["settings"],
            slots=found["slots"],
            outcomes=found["cases"],
        )
    except KeyError as error:
        raise ValueError(f"{file} is not what `python -m tests.chaos --json` writes: {error} is missing") from error


def must_belong_together(runs: Sequence[Run]) -> None:
    """Make sure that the runs may stand in one table.

    Raises:
        ValueError: they may not.
    """
    if len({run.seed for run in runs}) < len(runs):
        raise ValueError("a seed is there twice")
    for run in runs[1:]:
        for what, of_first, of_this in (
            ("cases", _names(runs[0]), _names(run)),
            ("versions", runs[0].versions, run.versions),
            ("settings", runs[0].settings, run.settings),
        ):
            if of_first != of_this:
                raise ValueError(f"seeds {runs[0].seed} and {run.seed} differ in their {what}: {of_first}; {of_this}")


def _names(run: Run) -> list[str]:
    return [outcome["case"] for outcome in run.outcomes]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.document", description="Writes docs/reliability.md.")
    parser.add_argument("files", type=Path, nargs="+", metavar="JSON", help="one for each seed")
    parser.add_argument("--output", type=Path, default=PAGE, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
