"""What `make bench-scale` finds: one row for each figure, with what it must reach and what it is meant to reach."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HEADINGS = ("measure", "value", "unit", "floor", "aim", "met", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure; without a floor it is there to be read beside the others."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    aim: float | None = None
    is_more_better: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the floor is reached, None where there is none."""
        if self.floor is None:
            return None
        return self.value >= self.floor if self.is_more_better else self.value <= self.floor

    def document(self) -> dict[str, object]:
        """Return it as it is written to JSON."""
        bound = "≥" if self.is_more_better else "≤"
        limits = {name: limit and f"{bound} {limit:g}" for name, limit in (("floor", self.floor), ("aim", self.aim))}
        return {
            "name": self.name, "value": round(self.value, 3), "unit": self.unit,
            **limits, "met": self.met, "note": self.note,
        }  # fmt: skip

    def cells(self) -> list[str]:
        """Return it as it is printed."""
        written = {**self.document(), "value": f"{self.value:,.4g}" if self.value < 1000 else f"{self.value:,.0f}"}
        written["met"] = {None: "", True: "yes", False: "NO"}[self.met]
        return [str(cell or "") for cell in written.values()]


def table(rows: Sequence[Row], title: str) -> Table:
    """Draw the rows for a terminal."""
    drawn = Table(*HEADINGS, title=title, box=None)
    for row in rows:
        drawn.add_row(*row.cells())
    return drawn


def markdown(rows: Sequence[Row]) -> str:
    """Write the rows as a table of a document."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(file: Path, rows: Sequence[Row], *, machine: Mapping[str, str], failures: Sequence[str]) -> None:
    """Write the rows, the machine and what could not be measured."""
    document = {"machine": dict(machine), "failures": list(failures), "rows": [row.document() for row in rows]}
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
