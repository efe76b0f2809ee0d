"""What the bridge counts, for Prometheus: every metric, and the words by which the parts of the bridge count.

The law: **fetched = settled + dropped + open**, summed over all replicas. A fetch is one external task handed to a
dispatcher: by a poller, or because it was found without an entry in the ledger. It opens an account when the ledger
writes a new entry for it, and the account is open until that entry is removed, replaced or backs off. Each account
ends once, and what the ledger answers to the change decides which change that was:

    dropped at once   adopted (its dispatch is under way), ended (reported while the fetch was on its
                      way), republished (its entry waits to be published already), given_back (its cap is full,
                      or its files did not get into the blob store), unreserved (Redis did not answer),
                      offered_again (refused, but the engine could not be told)
    settled           completed, bpmn_error, retry, postponed, incident: the engine took the verdict; a refusal at
                      dispatch (unknown topic, unreadable variable) is an incident
    dropped later     given_back (the broker has no place), cancelled (found by the watcher), gone (ended otherwise),
                      lost (given up, and fetched again), superseded (replaced while open)
    open              entries of the ledger in any state but backing_off

A report that changes no entry (a second completion, a late failure) is counted in `procos_bridge_reports_total` alone.
Four things loosen the law: the counts of a bridge that was killed, entries lost in a flush of Redis, `unreserved`,
since a Redis that does not answer may have written the entry all the same, and a Redis that went away when it had noted
a failure, an incident or a drop, before it could say so. Of other ends the settler asks again.

Labels are topics and queues of the route table, anything else is `unknown`: a forged message makes no new series.
"""

from __future__ import annotations

import platform
import time
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info, disable_created_metrics, generate_latest

from procos import __version__
from procos.call_outcomes import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UNKNOWN = "unknown"
SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LENGTHS = (1, 2, 5, 10, 20, 50)
LONG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)


class Drop(StrEnum):
    """Why a fetch ended without a verdict of the engine."""

    ADOPTED = "adopted"
    ENDED = "ended"
    REPUBLISHED = "republished"
    UNRESERVED = "unreserved"
    OFFERED_AGAIN = "offered_again"
    GIVEN_BACK = "given_back"
    CANCELLED = "cancelled"
    GONE = "gone"
    LOST = "lost"
    SUPERSEDED = "superseded"


class Report(StrEnum):
    """What the engine is told; retries and postponements are failures to it."""

    COMPLETE = "complete"
    FAILURE = "failure"
    BPMN_ERROR = "bpmn_error"


class Redelivery(StrEnum):
    """How it showed that something travelled twice."""

    PUBLISHED_AGAIN = "published_again"
    CALLBACK = "callback"
    SUPERSEDED = "superseded"


class Extension(StrEnum):
    """What became of a lease that was due."""

    EXTENDED = "extended"
    TAKEN_AGAIN = "taken_again"
    REFUSED = "refused"
    GONE = "gone"


class DeadLetter(StrEnum):
    """Why a message was dead-lettered, in the broker's words or ours."""

    DELIVERY_LIMIT = "delivery_limit"
    EXPIRED = "expired"
    MAXLEN = "maxlen"
    REJECTED = "rejected"
    UNREADABLE = "unreadable"
    OTHER = "other"


VERDICTS = ("completed", "bpmn_error", "retry", "postponed", "incident")

disable_created_metrics()  # type: ignore[no-untyped-call]  # else every count has a second series, of its start

FETCHED = Counter("procos_bridge_fetched", "External tasks handed to a dispatcher.", ["topic"])
SETTLED = Counter("procos_bridge_settled", "Fetches that ended with a verdict the engine took.", ["topic", "verdict"])
DROPPED = Counter("procos_bridge_dropped", "Fetches that ended without a verdict.", ["topic", "reason"])
FETCH_ERRORS = Counter("procos_bridge_fetch_errors", "Fetches that failed.", ["queue", "reason"])
FETCH_SECONDS = Histogram(
    "procos_bridge_fetch_duration_seconds", "How long a fetch took, waiting included.", ["queue"], buckets=SHORT
)
PUBLISHED = Counter("procos_bridge_published", "Dispatches sent to the broker.", ["topic", "queue", "outcome"])
PUBLISH_SECONDS = Histogram(
    "procos_bridge_publish_duration_seconds", "How long a batch took until confirmed.", ["queue"], buckets=SHORT
)
REPORTS = Counter("procos_bridge_reports", "Reports the engine answered, or not.", ["topic", "kind", "outcome"])
REPORT_SECONDS = Histogram(
    "procos_bridge_report_duration_seconds", "How long the engine took for a report.", ["kind"], buckets=SHORT
)
REPORT_LIST = Histogram(
    "procos_bridge_report_list_length", "Reports in one call, where the engine takes lists.", buckets=LENGTHS
)
END_TO_END_SECONDS = Histogram(
    "procos_end_to_end_seconds", "From the first fetch of a try to the verdict.", ["topic"], buckets=LONG
)
INFLIGHT = Gauge("procos_bridge_inflight", "External tasks in flight, as all replicas see them.", ["queue"])
CAPACITY = Gauge("procos_bridge_capacity", "How many may be in flight at most.", ["queue"])
BUDGET = Gauge("procos_bridge_budget", "How many may be in flight by demand.", ["queue"])
SLOTS = Gauge("procos_bridge_slots", "Slots of the live workers of a queue.", ["queue"])
DRAIN = Gauge("procos_bridge_drain_rate", "Starts per second, at most in the last seconds.", ["queue"])
REPLICAS = Gauge("procos_bridge_replicas", "Bridges that run, as all replicas see them.")
EXTENSIONS = Counter("procos_bridge_lock_extensions", "Leases that were due for extension.", ["outcome"])
REDELIVERIES = Counter("procos_bridge_redeliveries", "What travelled twice.", ["reason"])
PARKED = Counter("procos_bridge_parked", "Results put aside, to be reported later.")
DEAD_LETTERS = Counter("procos_bridge_dead_letters", "Messages nobody could handle.", ["queue", "reason"])
LAST_LOOP = Gauge("procos_bridge_last_loop_timestamp_seconds", "When a loop began its last turn.", ["loop"])
BUILD = Info("procos_build", "The version of ProcOS that runs.")
BUILD.info({"version": __version__, "python": platform.python_version()})

_topics: set[str] = set()
_queues: set[str] = set()


def know(topics: Iterable[str], queues: Iterable[str]) -> None:
    """Take these for labels, and begin their counts at zero, so that the first event shows as an increase."""
    _topics.update(str(topic) for topic in topics)
    _queues.update(str(queue) for queue in queues)
    for topic in (*_topics, UNKNOWN):
        FETCHED.labels(topic)
        for verdict in VERDICTS:
            SETTLED.labels(topic, verdict)


def topic_label(topic: str) -> str:
    """Return the topic if a route serves it, else `unknown`."""
    return topic if topic in _topics else UNKNOWN


def queue_label(queue: str) -> str:
    """Return the queue if routes use it, or it is the queue of dead letters of one, else `unknown`."""
    return str(queue) if str(queue).removesuffix(".dead") in _queues else UNKNOWN


def fetched(topic: str) -> None:
    """Count one external task that reached a dispatcher."""
    FETCHED.labels(topic_label(topic)).inc()


def settled(topic: str, verdict: str) -> None:
    """Count an account that the ledger has just closed; the verdict `gone` is no verdict of the engine."""
    if verdict in VERDICTS:
        SETTLED.labels(topic_label(topic), verdict).inc()
    else:
        dropped(topic, Drop.GONE)


def dropped(topic: str, reason: Drop) -> None:
    """Count a fetch that ended without a verdict."""
    DROPPED.labels(topic_label(topic), reason.value).inc()


def published(topic: str, queue: str, outcome: str) -> None:
    """Count one dispatch by what the broker said of it."""
    PUBLISHED.labels(topic_label(topic), queue_label(queue), outcome).inc()


def in_flight(queue: str, count: int, *, capacity: int) -> None:
    """Note how much of the room of a queue is used."""
    INFLIGHT.labels(queue_label(queue)).set(count)
    CAPACITY.labels(queue_label(queue)).set(capacity)


def budget(queue: str, limit: int, *, slots: int, per_second: float) -> None:
    """Note how many may be in flight on a queue, and why."""
    BUDGET.labels(queue_label(queue)).set(limit)
    SLOTS.labels(queue_label(queue)).set(slots)
    DRAIN.labels(queue_label(queue)).set(per_second)


def replicas(count: int) -> None:
    """Note how many bridges run."""
    REPLICAS.set(count)


def extended(outcome: Extension) -> None:
    """Count a lease that was due."""
    EXTENSIONS.labels(outcome.value).inc()


def redelivered(reason: Redelivery) -> None:
    """Count what travelled twice."""
    REDELIVERIES.labels(reason.value).inc()


def parked() -> None:
    """Count a result that was put aside."""
    PARKED.inc()


def dead_lettered(queue: str, reason: str) -> None:
    """Count a dead letter; a reason that is neither the broker's nor ours counts as `other`."""
    known = reason if reason in {each.value for each in DeadLetter} else DeadLetter.OTHER.value
    DEAD_LETTERS.labels(queue_label(queue), known).inc()


def ended_after(topic: str, duration: timedelta) -> None:
    """Note how long a step took from its first fetch to the engine's verdict."""
    END_TO_END_SECONDS.labels(topic_label(topic)).observe(max(duration.total_seconds(), 0.0))


def turned(loop: str) -> None:
    """Note that a loop begins a turn; `loop` is a name of ours."""
    LAST_LOOP.labels(loop).set_to_current_time()


@contextmanager
def fetching(queue: str) -> Iterator[None]:
    """Time the fetch inside, and count its failure."""
    with _timed(FETCH_SECONDS.labels(queue_label(queue))):
        try:
            yield
        except Exception as error:
            FETCH_ERRORS.labels(queue_label(queue), outcome_of(error)).inc()
            raise


@contextmanager
def publishing(queue: str) -> Iterator[None]:
    """Time the publication of a batch inside."""
    with _timed(PUBLISH_SECONDS.labels(queue_label(queue))):
        yield


@contextmanager
def reporting(topic: str, kind: Report) -> Iterator[None]:
    """Time the engine's call inside, and count what it answered."""
    outcome = "accepted"
    with _timed(REPORT_SECONDS.labels(kind.value)):
        try:
            yield
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            REPORTS.labels(topic_label(topic), kind.value, outcome).inc()


@contextmanager
def reporting_list(length: int) -> Iterator[None]:
    """Time the call inside, which reports so many."""
    REPORT_LIST.observe(length)
    with _timed(REPORT_SECONDS.labels("list")):
        yield


def reported(topic: str, kind: Report, refusal: BaseException | None) -> None:
    """Count what the engine answered to one report of a list."""
    outcome = "accepted" if refusal is None else outcome_of(refusal)
    REPORTS.labels(topic_label(topic), kind.value, outcome).inc()


def exposition() -> bytes:
    """Write every metric as Prometheus reads it."""
    return generate_latest(REGISTRY)


@contextmanager
def _timed(histogram: Histogram) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        histogram.observe(time.monotonic() - began)
