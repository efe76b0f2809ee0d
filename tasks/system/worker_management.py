"""Topic `worker_management`: says which workers there are, what they do, and where more of them are wanted.

| action | does |
|---|---|
| `report` | reports |
| `start_all` | reports, and says loudly which queues no worker takes from |
| `drain` | waits, within a limit, until nothing but itself is in flight; then reports what is left |

It starts and stops no worker: that is the business of `procos up`, or of the platform. Running it twice is harmless:
it only looks.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from procos.logs import get_logger
from procos.queues import Queue
from procos.routes import by_queue
from tasks.system.fleet import CeleryFleet
from tasks.system.scaling import advice_for
from tasks.task import TaskContext, process_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.system.fleet import Fleet, Worker
    from tasks.system.scaling import Advice

DRAIN_SECONDS = 10.0
"""Shorter than whoever shuts down waits for it (`PROCOS_KERNEL_FAREWELL_LIMIT`)."""
REPORT_SECONDS = 15.0
"""What is left of the time limit for the report, after a drain."""
LOOK_SECONDS = 0.5

log = get_logger(__name__)
_never = threading.Event()


class WorkerManagementInput(BaseModel):
    """What is wanted."""

    action: Literal["start_all", "report", "drain"] = "report"


class WorkerManagementOutput(BaseModel):
    """The workers that answered, and what there is for them to do."""

    workers: list[dict[str, Any]] = Field(description="name, queues, pool, concurrency, running by topic")
    worker_count: int
    queues_without_worker: list[str]
    scale_advice: list[dict[str, Any]] = Field(description="by queue: add, enough or idle, the numbers, the reason")
    tasks_under_way: int = Field(description="in flight, this one apart")


@process_task(topic="worker_management")
def worker_management(order: WorkerManagementInput, context: TaskContext) -> WorkerManagementOutput:
    """Look at the workers; with `drain`, when all is done.

    Raises:
        BrokerUnreachableError: nobody can be asked; another try may pass.
        StepCancelled: the step was cancelled while it waited.
    """
    return managed(order, context, CeleryFleet(context.settings))


def managed(
    order: WorkerManagementInput,
    context: TaskContext,
    fleet: Fleet,
    *,
    pause: Callable[[float], object] = _never.wait,
) -> WorkerManagementOutput:
    """Do it with this fleet."""
    queues = sorted(set(by_queue()) - {Queue.CALLBACKS})
    if order.action == "drain":
        _await_the_end(context, fleet, queues, pause)
    workers = fleet.workers()
    missing = [queue for queue in queues if not any(queue in worker.queues for worker in workers)]
    if missing and order.action == "start_all":
        log.warning("workers.missing", queues=missing, cure=f"celery -A procos.app worker -Q {','.join(missing)}")
    under_way = _under_way(context, fleet, queues, workers)
    log.info("workers.looked_at", action=order.action, workers=len(workers), under_way=under_way)
    return WorkerManagementOutput(
        workers=[worker.as_variable() for worker in workers],
        worker_count=len(workers),
        queues_without_worker=missing,
        scale_advice=[each.as_variable() for each in _advice(context, fleet, queues, workers)],
        tasks_under_way=under_way,
    )


def _await_the_end(context: TaskContext, fleet: Fleet, queues: Sequence[str], pause: Callable[[float], object]) -> None:
    """Wait until this step is the last in flight; not for ever, and not where nobody can tell."""
    patience = min(context.remaining().total_seconds() - REPORT_SECONDS, DRAIN_SECONDS)
    deadline = context.clock() + patience
    while (fleet.in_flight(queues) or 0) > 1 and context.clock() < deadline:
        context.raise_if_cancelled()
        pause(LOOK_SECONDS)


def _under_way(context: TaskContext, fleet: Fleet, queues: Sequence[str], workers: Sequence[Worker]) -> int:
    """Count what is in flight beside this step; without the ledger, what workers are at."""
    in_flight = fleet.in_flight(queues)
    if in_flight is not None:
        return max(in_flight - 1, 0)
    return sum(run.celery_id != context.celery_id for worker in workers for run in worker.runs)


def _advice(context: TaskContext, fleet: Fleet, queues: Sequence[str], workers: Sequence[Worker]) -> Sequence[Advice]:
    """Judge each queue; this step itself is no demand."""
    depths = fleet.depths(queues)
    slots, running = Counter[str](), Counter[str]()
    for worker in workers:
        slots.update(dict.fromkeys(worker.queues, worker.concurrency))
        running.update(run.queue for run in worker.runs if run.celery_id != context.celery_id)
    return [
        advice_for(queue, ready=depths[queue].ready, running=running[queue], slots=slots[queue]) for queue in queues
    ]
