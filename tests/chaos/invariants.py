"""What must hold when a case is over, whatever the fault was: nobody waits, nobody holds anything, nothing is left."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import redis
import requests
from amqp import AMQPError

from procos.domain.errors import BrokerUnreachableError
from procos.queues import connect, depths, topology
from tests.chaos.stack import TASK_QUEUES
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.effects import Count
    from tests.chaos.stack import Stack

SETTLING_SECONDS = 20.0
LOOK_SECONDS = 0.5
MOST_STARTS = 3
REASON = re.compile(r"\bstarted 3 times\b|\bdelivered\b")
LEASES, ENTRIES = "procos:leases:*", "procos:task:*"
QUEUES = tuple(queue.name for queue in topology(TASK_QUEUES))
"""Task queues, outbox, parked results and dead letters: at rest, each is empty."""


def unsettled(stack: Stack) -> list[str]:
    """Say what is not at rest, after giving it time."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while found := list(_looked(stack)):
        if time.monotonic() > deadline:
            return found
        pause(LOOK_SECONDS)
    return []


def broken_by_poison(stack: Stack, prefix: str, starts: Count) -> Iterator[str]:
    """Check that a task that kills its process was stopped in time, with one incident that says why."""
    for row in stack.view.running(prefix):
        key = row["businessKey"]
        times = starts.starts.get((key, "chaos_poison"), 0)
        if times > MOST_STARTS:
            yield f"{key}: started {times} times"
        reasons = stack.view.incidents([row["id"]])
        if len(reasons) != 1 or not REASON.search(reasons[0]):
            yield f"{key}: expected one incident that names the reason, found {reasons}"


def sweep(stack: Stack, prefix: str) -> None:
    """Take away what a case that failed left behind, so that the next one stands alone."""
    stack.view.delete(prefix)
    stack.redis.flushall()
    stack.renew()
    with connect(stack.broker) as connection:
        channel: Any = connection.default_channel
        for queue in QUEUES:
            channel.queue_purge(queue)


def _looked(stack: Stack) -> Iterator[str]:
    try:
        yield from _locked(stack)
        yield from _waiting(stack)
        yield from _in_flight(stack)
    except (requests.RequestException, BrokerUnreachableError, AMQPError, OSError, redis.RedisError) as error:
        yield f"a service does not answer: {error}"


def _locked(stack: Stack) -> Iterator[str]:
    held = stack.view.external_tasks(locked="true")
    if held:
        names = ", ".join(f"{task['activityId']} {task['id']}" for task in held[:3])
        yield f"{len(held)} external tasks are locked at the engine: {names}"


def _waiting(stack: Stack) -> Iterator[str]:
    found = depths(stack.broker, QUEUES)
    yield from (f"{depth.ready} messages in {name}" for name, depth in found.items() if depth.ready)


def _in_flight(stack: Stack) -> Iterator[str]:
    for key in stack.redis.scan_iter(LEASES):
        held = stack.redis.zrange(key, 0, -1)
        if held:
            yield f"{len(held)} ledger entries in flight in {key}: {', '.join(map(str, held[:3]))}"
