"""How JSON is looked through: what is counted, what is a flaw, and what is not even looked at."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.variables import DEEPEST
from tasks.generic.json_values import MOST_FLAWS, MOST_VALUES, looked_through

if TYPE_CHECKING:
    from collections.abc import Iterator


class Unread(list[Any]):
    """A list in which nobody may look."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError


def said_of(value: Any) -> list[str]:
    return [str(flaw) for flaw in looked_through(value).flaws]


class TestLook:
    @pytest.mark.parametrize(
        ("value", "values"), [(1, 1), ([], 1), ([1, [2, 3], {}], 6), ({"a": {"b": [None]}}, 4), ({"a": 1, "b": 2}, 3)]
    )
    def test_counts_the_whole_and_every_value_in_it(self, value: Any, values: int) -> None:
        assert looked_through(value).values == values

    def test_counts_the_characters_of_texts_and_names(self) -> None:
        assert looked_through({"ab": ["cde", {"f": "ü"}], "": 12345}).characters == 7

    def test_meets_flaws_in_the_order_of_the_text(self) -> None:
        value = {"a": ["\0", {"b": "x\0"}], "c\0": float("inf")}
        assert said_of(value) == [
            "(all): contains the character U+0000 at position 1",
            "a[0]: contains the character U+0000 at position 0",
            "a[1].b: contains the character U+0000 at position 1",
            "c?: is no finite number",
        ]

    def test_stops_at_a_number_of_flaws(self) -> None:
        assert len(said_of([float("inf")] * 100)) == MOST_FLAWS
        assert len(said_of({f"\0{n}": float("inf") for n in range(100)})) == MOST_FLAWS

    def test_goes_down_to_the_deepest_level_and_no_further(self) -> None:
        value: Any = 1
        for _ in range(DEEPEST):
            value = [value]
        assert said_of(value) == []
        assert said_of([value]) == [f"{'[0]' * DEEPEST}: is nested too deeply: more than {DEEPEST} levels"]

    def test_does_not_look_into_a_list_that_is_too_long(self) -> None:
        assert said_of([0, Unread([0] * MOST_VALUES)]) == [f"(all): has more than {MOST_VALUES} values"]

    def test_holds_one_value_at_a_time(self) -> None:
        value = [0] * 100_000
        tracemalloc.start()
        try:
            looked_through(value)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 100_000
