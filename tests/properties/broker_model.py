"""A broker in memory: queues in order, deliveries that come again until they are acknowledged, and lost messages."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from procos.queues import DELIVERY_LIMIT, PARKED, PARKING_MILLISECONDS, Queue, QueueDepth, dead
from procos.task_messages import COMPLETE, FAIL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from procos.testing import FrozenClock


@dataclass(slots=True, eq=False)
class Message:
    """What travels, as far as bridge and workers look at it."""

    queue: str
    celery_id: str
    args: list[Any]
    kwargs: Mapping[str, Any]
    headers: dict[str, Any] = field(default_factory=dict)
    deliveries: int = 0
    content_type: str = "application/json"

    @property
    def body(self) -> bytes:
        """The body, as Celery's protocol 2 writes it."""
        return json.dumps([self.args, self.kwargs, {}]).encode()

    def decode(self) -> list[Any]:
        """Read the body."""
        decoded: list[Any] = json.loads(self.body)
        return decoded

    @property
    def step_id(self) -> str:
        """The external task it is about."""
        return str(self.kwargs["dispatch"]["id"])


class BrokerModel:
    """The queues; an `owner` has what it has taken until that is acknowledged, or its connection is lost."""

    def __init__(self, clock: FrozenClock, queues: Iterable[str]) -> None:
        self._clock = clock
        self.task_queues = tuple(queues)
        names = [*self.task_queues, *(dead(queue) for queue in self.task_queues), str(Queue.CALLBACKS)]
        self.ready: dict[str, deque[Message]] = {name: deque() for name in names}
        self.parked: list[tuple[int, Message]] = []
        self._taken: dict[int, tuple[object, Message]] = {}

    def publish(self, message: Message) -> None:
        """Put a message at the end of its queue."""
        self.ready[message.queue].append(message)

    def send_callback(self, dispatch: Mapping[str, Any], celery_id: str, envelope: object | None) -> None:
        """Publish what Celery's link carries, or its link_error where there is no envelope."""
        name, args = (FAIL, [celery_id]) if envelope is None else (COMPLETE, [envelope])
        self.publish(Message(Queue.CALLBACKS, celery_id, list(args), {"dispatch": dispatch}, {"task": name}))

    def take(self, queue: str, owner: object) -> Message | None:
        """Deliver the next message."""
        if not self.ready[queue]:
            return None
        message = self.ready[queue].popleft()
        self._taken[id(message)] = (owner, message)
        return message

    def acknowledge(self, message: Message, owner: object) -> None:
        """Forget a message; without effect when the connection it came by was lost."""
        if self.is_held(message, owner):
            del self._taken[id(message)]

    def park(self, message: Message, owner: object) -> None:
        """Put a callback where it returns from later."""
        self.parked.append((self._clock.milliseconds() + PARKING_MILLISECONDS, message))
        self.acknowledge(message, owner)

    def is_held(self, message: Message, owner: object) -> bool:
        """Whether the owner still has this delivery."""
        return id(message) in self._taken and self._taken[id(message)][0] is owner

    def release(self, owner: object) -> list[Message]:
        """Lose an owner's connection: what it had is delivered again, or dead-lettered when that was too often."""
        lost = [message for holder, message in self._taken.values() if holder is owner]
        for message in reversed(lost):
            del self._taken[id(message)]
            message.deliveries += 1
            if message.queue in self.task_queues and message.deliveries > DELIVERY_LIMIT:
                deaths = [{"queue": message.queue, "reason": "delivery_limit"}]
                message.headers["x-death"] = deaths
                self.ready[dead(message.queue)].append(message)
            else:
                self.ready[message.queue].appendleft(message)
        return lost

    def return_parked(self) -> None:
        """Bring back what was parked long enough."""
        due = [message for moment, message in self.parked if moment <= self._clock.milliseconds()]
        self.parked = [(moment, message) for moment, message in self.parked if message not in due]
        self.ready[Queue.CALLBACKS].extend(due)

    def lose(self, queue: str) -> Message | None:
        """Lose the next message of a queue."""
        return self.ready[queue].popleft() if self.ready[queue] else None

    def depths(self) -> Mapping[str, QueueDepth]:
        """Count what waits, as RabbitMQ does: without what is delivered."""
        depths = {name: QueueDepth(ready=len(queue)) for name, queue in self.ready.items()}
        return depths | {PARKED: QueueDepth(ready=len(self.parked))}

    def is_empty(self) -> bool:
        """Whether nothing waits anywhere, and nothing is delivered."""
        return not (any(self.ready.values()) or self.parked or self._taken)
