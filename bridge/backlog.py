"""What waits at the engine, as metrics: asked when somebody scrapes, at most every 15 s, and never waited for long.

While the engine is away the last numbers are shown on; `procos_external_tasks_asked_timestamp_seconds` tells their age.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bridge.inquiry import Inquiry
from procos.metrics import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import CollectorRegistry

    from procos.domain.external_task import Topic
    from procos.engine.backlog import Backlog

EVERY = timedelta(seconds=15)
PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    topics: Mapping[Topic, Backlog]
    others: Backlog
    asked: float


class BacklogMetrics(Collector):
    """A collector over `question`: `procos.engine.backlog.backlog_of` about the topics of the route table."""

    def __init__(
        self,
        question: Callable[[], tuple[Mapping[Topic, Backlog], Backlog]],
        *,
        every: timedelta = EVERY,
        patience: float = PATIENCE_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._question, self._patience, self._now = question, patience, now
        self._inquiry = Inquiry("backlog", self._ask, every=every)

    def register(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Be part of what is scraped from now on."""
        registry.register(self)

    def unregister(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Be no part of it any more."""
        registry.unregister(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the metrics without asking, as the registry wants at the registration."""
        return _Families().all

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the youngest numbers there are."""
        families, answer = _Families(), self._inquiry.reply(self._patience).value
        if answer is not None:
            for topic, backlog in answer.topics.items():
                self._show(families, topic, backlog)
            self._show(families, UNKNOWN, answer.others)
            families.asked.add_metric([], answer.asked)
        return families.all

    def _ask(self) -> _Answer:
        topics, others = self._question()
        return _Answer(topics=topics, others=others, asked=time.time())

    def _show(self, families: _Families, topic: str, backlog: Backlog) -> None:
        families.tasks.add_metric([topic, "open"], backlog.open)
        families.tasks.add_metric([topic, "locked"], backlog.locked)
        families.tasks.add_metric([topic, "retries_exhausted"], backlog.retries_exhausted)
        if topic != UNKNOWN:
            age = (self._now() - backlog.oldest).total_seconds() if backlog.oldest else 0.0
            families.age.add_metric([topic], max(age, 0.0))


class _Families:
    def __init__(self) -> None:
        self.tasks = GaugeMetricFamily(
            "procos_external_tasks", "External tasks, as the engine counts them.", labels=["topic", "state"]
        )
        self.age = GaugeMetricFamily(
            "procos_external_task_oldest_age_seconds",
            "Age of the oldest external task that has retries left, 0 where there is none.",
            labels=["topic"],
        )
        self.asked = GaugeMetricFamily(
            "procos_external_tasks_asked_timestamp_seconds", "When the engine was last asked and answered."
        )

    @property
    def all(self) -> list[GaugeMetricFamily]:
        return [self.tasks, self.age, self.asked]
