"""Reserves entries in the ledger for a batch, and tells what of it is to be published, under the tokens that count."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bridge.fetched import reference_of
from bridge.ledger_values import Reservation
from procos import metrics
from procos.ledger_keys import State
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from bridge.ledger import Ledger
    from bridge.ledger_values import Known, Reserved
    from bridge.publisher import Publication
    from procos.domain.external_task import ExternalTask, ExternalTaskId, Topic

UNDER_WAY = frozenset({State.PUBLISHED, State.STARTED, State.REPORTING})

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch that is reserved."""

    chosen: list[Publication] = field(default_factory=list)
    """What is to be published."""
    doubtful: list[ExternalTaskId] = field(default_factory=list)
    """Those of them that an earlier publication may have brought to the broker."""
    without_place: list[ExternalTaskId] = field(default_factory=list)
    """What has no place under its cap: another bridge, or a retry, has taken it meanwhile."""


def reserved(ledger: Ledger, publications: Sequence[Publication], queue: str, *, lease: timedelta) -> Batch:
    """Reserve an entry for each publication, under its route's lock or this lease.

    Raises:
        LedgerUnreachableError: nothing of it may be published.
    """
    if not publications:
        return Batch()
    refs = [publication.dispatch.ref for publication in publications]
    answers = ledger.reserve(refs, queue, [p.route.lock_duration or lease for p in publications])
    batch = Batch()
    for publication, answer in zip(publications, answers, strict=True):
        ref = replace(publication.dispatch.ref, token=answer.token)
        _count(ref.topic, answer)
        match answer.reservation:
            case Reservation.ADOPTED:
                log.info("external_task.adopted", external_task_id=ref.external_task_id, celery_id=ref.celery_id)
            case Reservation.ENDED:
                log.info("external_task.ended_meanwhile", external_task_id=ref.external_task_id)
            case Reservation.FULL:
                batch.without_place.append(ref.external_task_id)
            case Reservation.NEW | Reservation.REPUBLISH:
                if answer.reservation is Reservation.REPUBLISH:
                    batch.doubtful.append(ref.external_task_id)
                batch.chosen.append(replace(publication, dispatch=replace(publication.dispatch, ref=ref)))
    return batch


def adopted(
    ledger: Ledger, tasks: Sequence[ExternalTask], queue: str, leases: Sequence[timedelta]
) -> frozenset[ExternalTaskId]:
    """Take over those external tasks of which a dispatch is under way, without a look at what they carry.

    Raises:
        LedgerUnreachableError: it is not known of which.
    """
    known = ledger.known([task.id for task in tasks]) if tasks else {}
    under_way = [
        (reference_of(task, task.lease), lease)
        for task, lease in zip(tasks, leases, strict=True)
        if task.lease and (entry := known.get(task.id)) and _is_under_way(entry, task)
    ]
    if not under_way:
        return frozenset()
    refs = [ref for ref, _ in under_way]
    answers = zip(refs, ledger.reserve(refs, queue, [lease for _, lease in under_way]), strict=True)
    ended = [(ref, answer) for ref, answer in answers if answer.reservation in {Reservation.ADOPTED, Reservation.ENDED}]
    for ref, answer in ended:  # any other is reserved once more when it can be dispatched
        log.info("external_task.adopted", external_task_id=ref.external_task_id, celery_id=ref.celery_id)
        _count(ref.topic, answer)
    return frozenset(ref.external_task_id for ref, _ in ended)


def _is_under_way(entry: Known, task: ExternalTask) -> bool:
    return entry.state in UNDER_WAY and entry.retries == task.retries


def _count(topic: Topic, answer: Reserved) -> None:
    match answer.reservation:
        case Reservation.ADOPTED:
            metrics.dropped(topic, metrics.Drop.ADOPTED)
        case Reservation.ENDED:
            metrics.dropped(topic, metrics.Drop.ENDED)
        case Reservation.FULL:
            metrics.dropped(topic, metrics.Drop.GIVEN_BACK)
        case Reservation.REPUBLISH:
            metrics.dropped(topic, metrics.Drop.REPUBLISHED)
            metrics.redelivered(metrics.Redelivery.PUBLISHED_AGAIN)
        case Reservation.NEW if answer.replaced is State.LOST:
            metrics.dropped(topic, metrics.Drop.LOST)
        case Reservation.NEW if answer.replaced:
            metrics.dropped(topic, metrics.Drop.SUPERSEDED)
