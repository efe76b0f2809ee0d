"""What the benchmark of AI steps says of its figures."""

from __future__ import annotations

import pytest

from tests.benchmarks.rows import Row


class TestRow:
    @pytest.mark.parametrize(("figure", "verdict"), [(4.9, "holds"), (5.0, "holds"), (5.1, "does not")])
    def test_is_held_to_a_most(self, figure: float, verdict: str) -> None:
        row = Row(measure="CPU", figure=figure, unit="ms", bound=5.0)
        assert row.holds is (verdict == "holds")
        assert row.as_json()["holds"] is row.holds

    def test_is_held_to_a_least_where_more_is_better(self) -> None:
        assert not Row(measure="rate", figure=89.9, unit="%", bound=90.0, larger_is_better=True).holds
