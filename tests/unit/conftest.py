"""What all unit tests keep to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.loopback_only import bound, no_network

if TYPE_CHECKING:
    import pytest

__all__ = ["no_network"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    bound(items, "tests/unit")
