from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bridge.backlog import BacklogMetrics
from procos.domain.errors import EngineUnreachableError
from procos.domain.external_task import Topic
from procos.engine.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AI = Topic("ai_query")


class Engine:
    """What is asked for the backlog."""

    def __init__(self) -> None:
        self.asked = 0
        self.trouble: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> tuple[Mapping[Topic, Backlog], Backlog]:
        self.asked += 1
        self.may_answer.wait(3)
        if self.trouble:
            raise self.trouble
        oldest = NOW - timedelta(minutes=7)
        waiting = Backlog(open=3, locked=2, retries_exhausted=self.asked, oldest=oldest)
        return {AI: waiting}, Backlog(open=9)


@pytest.fixture
def engine() -> Engine:
    return Engine()


def scrape(engine: Engine, **options: float) -> tuple[CollectorRegistry, BacklogMetrics]:
    collector = BacklogMetrics(
        engine, every=timedelta(seconds=options.get("every", 60)), patience=options.get("patience", 3), now=lambda: NOW
    )
    registry = CollectorRegistry(auto_describe=True)
    collector.register(registry)
    return registry, collector


class TestBacklogMetrics:
    def test_ask_nobody_before_somebody_scrapes(self, engine: Engine) -> None:
        scrape(engine)
        assert engine.asked == 0

    def test_show_what_the_engine_counts(self, engine: Engine) -> None:
        registry, _ = scrape(engine)
        assert registry.get_sample_value("procos_external_tasks", {"topic": AI, "state": "open"}) == 3
        assert registry.get_sample_value("procos_external_tasks", {"topic": AI, "state": "locked"}) == 2
        assert registry.get_sample_value("procos_external_tasks", {"topic": "unknown", "state": "open"}) == 9
        assert registry.get_sample_value("procos_external_task_oldest_age_seconds", {"topic": AI}) == 420
        assert engine.asked == 1

    def test_ask_once_for_many_scrapes(self, engine: Engine) -> None:
        registry, _ = scrape(engine)
        assert generate_latest(registry) == generate_latest(registry)
        assert engine.asked == 1

    def test_show_the_last_numbers_while_the_engine_is_away(self, engine: Engine) -> None:
        registry, _ = scrape(engine, every=0)
        before = generate_latest(registry)
        engine.trouble = EngineUnreachableError("http://engine", "refused")
        assert generate_latest(registry) == before
        assert engine.asked == 2

    def test_let_no_scrape_wait_for_an_engine_that_hangs(self, engine: Engine) -> None:
        engine.may_answer.clear()
        registry, _ = scrape(engine, patience=0.02)
        text = generate_latest(registry).decode()
        assert "# TYPE procos_external_tasks gauge" in text
        assert "procos_external_tasks{" not in text
        engine.may_answer.set()

    def test_can_be_taken_back(self, engine: Engine) -> None:
        registry, collector = scrape(engine)
        collector.unregister(registry)
        assert b"procos_external_tasks" not in generate_latest(registry)
