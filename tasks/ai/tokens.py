"""About how many tokens a text is, without the tables of any model."""

from __future__ import annotations

CHARACTERS_A_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text is; rather too many than too few."""
    return len(text) // CHARACTERS_A_TOKEN + 1
