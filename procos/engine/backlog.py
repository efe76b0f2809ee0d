"""How much waits at the engine, per topic: what the bridge shows as metrics.

The engine has no question that groups by topic, so it is a few small ones; a topic without external tasks costs one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procos.domain.variables import parse_date
from procos.engine.wire import count_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from procos.domain.external_task import Topic
    from procos.engine.transport import Transport

OPEN: Mapping[str, object] = {"notLocked": True, "withRetriesLeft": True}
LOCKED: Mapping[str, object] = {"locked": True, "withRetriesLeft": True}
EXHAUSTED: Mapping[str, object] = {"noRetriesLeft": True}
OLDEST: Mapping[str, object] = {"withRetriesLeft": True, "sorting": [{"sortBy": "createTime", "sortOrder": "asc"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The external tasks of a topic; those that back off are locked, those out of retries wait for a person."""

    open: int = 0
    locked: int = 0
    retries_exhausted: int = 0
    oldest: datetime | None = None
    """When the oldest that has retries left was made; not known where the engine is older than 7.21."""


def backlog_of(transport: Transport, topics: Iterable[Topic]) -> tuple[Mapping[Topic, Backlog], Backlog]:
    """Ask about each topic; returns the answers, and the sums of all topics that were not named."""
    named = {topic: _backlog(transport, topic) for topic in topics}
    everything = _counts(transport, {})
    others = Backlog(
        open=_rest(everything.open, (each.open for each in named.values())),
        locked=_rest(everything.locked, (each.locked for each in named.values())),
        retries_exhausted=_rest(everything.retries_exhausted, (each.retries_exhausted for each in named.values())),
    )
    return named, others


def _backlog(transport: Transport, topic: Topic) -> Backlog:
    question = {"topicName": topic}
    if not _count(transport, question):
        return Backlog()
    return _counts(transport, question, oldest=_oldest(transport, question))


def _counts(transport: Transport, question: Mapping[str, object], *, oldest: datetime | None = None) -> Backlog:
    return Backlog(
        open=_count(transport, {**question, **OPEN}),
        locked=_count(transport, {**question, **LOCKED}),
        retries_exhausted=_count(transport, {**question, **EXHAUSTED}),
        oldest=oldest,
    )


def _count(transport: Transport, question: Mapping[str, object]) -> int:
    return count_from_json(transport.post("/external-task/count", question))


def _oldest(transport: Transport, question: Mapping[str, object]) -> datetime | None:
    rows: list[dict[str, Any]] = transport.post("/external-task", {**question, **OLDEST}, params={"maxResults": 1})
    made = rows[0].get("createTime") if rows else None
    return None if made is None else parse_date("createTime", made)


def _rest(everything: int, named: Iterable[int]) -> int:
    """Return what is left; the counts are taken one after the other, so the rest may come out below zero."""
    return max(everything - sum(named), 0)
