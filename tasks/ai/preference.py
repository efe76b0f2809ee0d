"""What a policy says of a question: which providers it would have asked first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """An order of providers, the members of one group being equal, and why it is this order."""

    groups: Sequence[Sequence[str]]
    why: str
    is_complete: bool = True
    """Whether providers that are in no group are left out; else they come last."""
