"""What a missing service means: a skip with the cure on a laptop, a failure in CI."""

from __future__ import annotations

import os

import pytest


def require(missing: str | None) -> None:
    """Go on if nothing is missing; `missing` names what, and how to install it."""
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
