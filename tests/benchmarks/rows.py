"""What a benchmark of tasks found: one row for each measure, with what it is held to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure."""

    measure: str
    figure: float
    unit: str
    bound: float
    larger_is_better: bool = False
    details: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure keeps to its bound."""
        return self.figure >= self.bound if self.larger_is_better else self.figure <= self.bound

    def as_json(self) -> Mapping[str, object]:
        """Return it for programs."""
        return {**asdict(self), "holds": self.holds}


def table(rows: Sequence[Row]) -> Table:
    """Return the rows for people."""
    shown = Table("measure", "found", "bound", "", "details", box=None, header_style="bold")
    for row in rows:
        sign = "≥" if row.larger_is_better else "≤"
        verdict = "✓" if row.holds else "✗"
        shown.add_row(
            row.measure, f"{row.figure:.2f} {row.unit}", f"{sign} {row.bound:g} {row.unit}", verdict, row.details
        )
    return shown
