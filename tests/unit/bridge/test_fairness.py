"""A topic that floods holds up no other: who is asked first, and for how many."""

from __future__ import annotations

from collections import Counter
from itertools import cycle, islice
from typing import TYPE_CHECKING

import pytest

from bridge.fairness import REST_SECONDS, Fairness, Others
from procos.domain.external_task import Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

A, B, C = Topic("a"), Topic("b"), Topic("c")


class Floods:
    """An engine with more tasks than anybody fetches; those of one flood were created by turns."""

    def __init__(self, floods: Sequence[str]) -> None:
        self.topics = frozenset(Topic(name) for flood in floods for name in flood)
        self._floods = [cycle(map(Topic, flood)) for flood in floods]
        self._names = [frozenset(map(Topic, flood)) for flood in floods]

    def fetch(self, topics: frozenset[Topic], room: int) -> list[Topic]:
        """Return the oldest of these topics."""
        oldest = next(flood for flood, names in zip(self._floods, self._names, strict=True) if names & topics)
        return list(islice((topic for topic in oldest if topic in topics), room))


class TestFairness:
    def flooded(self, *by: Topic) -> Fairness:
        fairness = Fairness([A, B, C])
        for topic in by:
            fairness.note_all([topic] * 100, 100)
        return fairness

    def test_asks_everybody_as_long_as_nobody_floods(self) -> None:
        fairness = self.flooded()
        assert fairness.first(100, 0) is None
        fairness.note_all([A] * 99, 100)
        assert fairness.first(100, 0) is None
        fairness.note_all([A] * 80 + [B] * 19 + [C], 100)
        assert fairness.first(100, 0) is None, "each topic has its part"

    @pytest.mark.parametrize(("room", "share"), [(100, 25), (7, 1), (1, 1)])
    def test_asks_the_others_first_for_a_quarter_of_the_room(self, room: int, share: int) -> None:
        assert self.flooded(A).first(room, 0) == Others(topics=frozenset({B, C}), room=share)

    def test_counts_three_quarters_as_filled(self) -> None:
        fairness = self.flooded()
        fairness.note_all([A] * 75 + [B] * 25, 100)
        assert fairness.first(100, 0) is not None

    def test_counts_what_fills_a_fetch_by_turns(self) -> None:
        fairness = self.flooded()
        fairness.note_all([A] * 50 + [B] * 50, 100)
        assert fairness.first(100, 0) == Others(topics=frozenset({C}), room=25)

    def test_goes_on_while_the_flood_does(self) -> None:
        fairness = self.flooded(A)
        fairness.note_first([B], 25, 0)
        fairness.note_all([A] * 99, 99)
        assert fairness.first(100, 0) == Others(topics=frozenset({B, C}), room=25)

    def test_lets_those_have_their_turn_that_two_floods_hold_up(self) -> None:
        fairness = self.flooded(A)
        fairness.note_first([B] * 25, 25, 0)
        fairness.note_all([A] * 75, 75)
        assert fairness.first(100, 0) == Others(topics=frozenset({C}), room=25)

    def test_begins_anew_when_each_had_its_turn(self) -> None:
        fairness = self.flooded(A, B, C)
        assert fairness.first(100, 0) is None
        fairness.note_all([A] * 100, 100)
        assert fairness.first(100, 0) == Others(topics=frozenset({B, C}), room=25)

    def test_leaves_alone_for_a_moment_those_that_had_nothing(self) -> None:
        fairness = self.flooded(A)
        fairness.note_first([], 25, 10.0)
        fairness.note_all([A] * 100, 100)
        assert fairness.first(100, 10.0 + REST_SECONDS / 2) is None
        assert fairness.first(100, 10.0 + REST_SECONDS) is not None

    def test_ends_with_the_flood(self) -> None:
        fairness = self.flooded(A)
        fairness.note_all([A] * 10, 100)
        assert fairness.first(100, 0) is None

    def test_has_nobody_else_to_ask_for_a_single_topic(self) -> None:
        fairness = Fairness([A])
        fairness.note_all([A] * 100, 100)
        assert fairness.first(100, 0) is None

    @pytest.mark.parametrize("floods", [("a", "b", "c"), ("ab", "c"), ("abd", "c"), ("aab", "c", "d")], ids=" ".join)
    @pytest.mark.parametrize("room", [1, 2, 8, 100])
    def test_starves_nobody_though_all_flood(self, floods: Sequence[str], room: int) -> None:
        """None of them ends; the engine answers in the order of age: all of one before anything of the next."""
        engine, served = Floods(floods), Counter[Topic]()
        fairness = Fairness(engine.topics)
        for turn in range(30):
            left = room
            if others := fairness.first(left, turn):
                fetched = engine.fetch(others.topics, others.room)
                fairness.note_first(fetched, others.room, turn)
                served.update(fetched)
                left -= len(fetched)
            if left:
                fetched = engine.fetch(engine.topics, left)
                fairness.note_all(fetched, left)
                served.update(fetched)
        assert min(served[topic] for topic in engine.topics) >= 30 * room / 20
