"""What a profile counts, and for which place."""

from __future__ import annotations

import inspect
from pathlib import Path

from tests.benchmarks.contenders.profiled import place_of
from tests.benchmarks.profiles import REST, SHOWN, a_task

ROOT = Path(__file__).parents[3]


class TestPlaceOf:
    def test_is_the_innermost_module_of_ours(self) -> None:
        assert place_of(inspect.currentframe()) == "tests/unit/benchmarks/test_profiles"

    def test_names_the_library_that_is_at_work(self) -> None:
        code = compile("found = place(current())", "/venv/lib/site-packages/kombu/messaging.py", "exec")
        scope: dict[str, object] = {"place": place_of, "current": inspect.currentframe}
        exec(code, scope)  # noqa: S102  # a frame of a library, without the library
        assert scope["found"] == "tests/unit/benchmarks/test_profiles in kombu"

    def test_of_no_stack_is_elsewhere(self) -> None:
        assert place_of(None) == "elsewhere"


class TestATask:
    def test_counts_what_came_between_the_two_looks(self) -> None:
        before, after = {"bridge": {"a": 1.0}}, {"bridge": {"a": 3.0, "b": 1.0}}
        assert a_task(before, after, 1000) == {"bridge": {"a": 2.0, "b": 1.0}}

    def test_puts_small_places_together(self) -> None:
        after = {"worker": {f"place {number}": 1.0 + number for number in range(SHOWN + 2)}}
        found = a_task({}, after, 1000)["worker"]
        assert len(found) == SHOWN + 1
        assert found[REST] == 3.0
