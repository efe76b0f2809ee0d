"""How often a message was parked, as far as its header can be believed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bridge.parking import times_parked


class TestTimesParked:
    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({}, 0),
            ({"procos-parked": 2}, 2),
            ({"procos-parked": "2"}, 0),
            ({"procos-parked": None}, 0),
            ({"procos-parked": -1}, 0),
            ({"x-death": [{"queue": "callbacks.parked", "count": 2}]}, 0),
        ],
    )
    def test_are_read_from_our_own_header(self, headers: dict[str, object], expected: int) -> None:
        assert times_parked(SimpleNamespace(headers=headers)) == expected
