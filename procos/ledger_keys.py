"""The ledger's keys in Redis, and the states of its entries: what bridge and workers must agree on.

One hash per external task in flight, with the token of the dispatch that counts:

    reserved ──▶ published ──▶ started ──▶ (closed: completed, BPMN error, gone, incident)
                     │            ├──────▶ reporting ──▶ backing_off ──▶ (superseded by the next fetch)
                     └────────────┴──────▶ lost ────────────────────────▶ (the same)

Every change is compare-and-set on (external task id, token), in the scripts of `procos.ledger_scripts`. Beside it: a
sorted set per queue of when each lease is to be extended (its size is what is in flight), one per cap of what takes its
places, one of when each retry falls due, and per process instance a hash of its steps that have ended: people read it,
and it fences off what comes late. Moments are Redis's own clock, in milliseconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procos.domain.external_task import ExternalTaskId, ProcessInstanceId

RETRIES_DUE = "procos:retries_due"
HOLDERS = "procos:holders"
EPOCH = "procos:epoch"
"""Written once; that it is missing tells that Redis was flushed, or came back without its data."""
OVERTAKEN = "procos:overtaken"
"""Per queue, when the youngest dispatch that was started had been published."""
STARTS = "procos:starts"
"""Per queue, how many starts there were: what the rate at which it drains is read from."""
RESULT_PREFIX = "celery-task-meta-"
"""Where Celery's Redis backend stores the result of a task, by its Celery id."""
STEPS_KEPT_SECONDS = 7 * 24 * 3600
MOST_STEPS = 1000
"""Steps kept of one process instance: what people look at, not an archive of one that loops for months. That a further
one has ended is kept by itself, for as long as its result, or a week if that was an incident."""
RESULTS_KEPT_SECONDS = 3600
"""How long the stored result of a step that has ended is kept: nothing but a late copy of its message asks for it."""
CANCELLED_KEPT_SECONDS = 2 * 24 * 3600


class State(StrEnum):
    """The state of a ledger entry."""

    RESERVED = "reserved"
    PUBLISHED = "published"
    STARTED = "started"
    REPORTING = "reporting"
    BACKING_OFF = "backing_off"
    LOST = "lost"


def entry(external_task_id: ExternalTaskId | str) -> str:
    """Return the key of an entry."""
    return f"procos:task:{external_task_id}"


def cancelled(external_task_id: ExternalTaskId | str) -> str:
    """Return the key that tells workers that a step was cancelled."""
    return f"procos:cancelled:{external_task_id}"


def leases(queue: str) -> str:
    """Return the key of a queue's leases, by the moment each is to be extended."""
    return f"procos:leases:{queue}"


def early(queue: str) -> str:
    """Return the key by which one replica extends leases of a queue before they are due."""
    return f"procos:early:{queue}"


def steps(process_instance_id: ProcessInstanceId | str) -> str:
    """Return the key of a process instance's steps."""
    return f"procos:steps:{process_instance_id}"


def ended(external_task_id: ExternalTaskId | str) -> str:
    """Return the key that tells that a step has ended whose process instance has too many for its hash."""
    return f"procos:ended:{external_task_id}"


def replica(replica_id: str) -> str:
    """Return the key that a running bridge holds its id by."""
    return f"procos:replica:{replica_id}"


def replica_of(holder: str) -> str:
    """Return whose worker id this is: `<replica>/<queue>`, or `<replica>/<group>/<queue>` for topics with caps."""
    return holder.partition("/")[0]


def turn(job: str) -> str:
    """Return the key that one of the replicas does a periodic job by."""
    return f"procos:turn:{job}"


def slots(queue: str) -> str:
    """Return the key of the slots of the workers that consume a queue, by the moment each is to be forgotten."""
    return f"procos:slots:{queue}"


def cap(name: str, queue: str) -> str:
    """Return the key of what takes a place of a cap on one queue; only those that have a lease too count."""
    return f"procos:cap:{name}:{queue}"
