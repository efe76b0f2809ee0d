"""The shelf of the dead letters: what nobody could process, kept in the queue `dead-letters` until a person acts.

`DeadLetters` and `Parking` put messages there, with headers that say what, whence, when and why; `procos dead-letters`
reads those headers and never a body, which holds the contents of variables; `procos replay` sends a message to the
queue it came from, as it was sent at first. Nothing is taken off the shelf before its copy is confirmed.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.link import open_link
from bridge.moving import OURS, headers_kept, headers_sent, publish_again, take
from procos.domain.addresses import without_secrets
from procos.domain.errors import BrokerUnreachableError, ProcosError
from procos.queues import EXCHANGE, SHELF, Queue, depth, errors_of, hang_up

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Sequence

    import kombu

    from procos.domain.dispatch import DispatchRef
    from procos.settings import BrokerSettings

REASON = f"{OURS}reason"
ID, ORIGIN, MOMENT = f"{OURS}id", f"{OURS}queue", f"{OURS}at"
EXTERNAL_TASK, TOPIC, INSTANCE = f"{OURS}external-task", f"{OURS}topic", f"{OURS}instance"
LONGEST_REASON = 500
LONGEST_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message on the shelf; what could not be read of it is empty."""

    id: str
    queue: str
    shelved_at: str
    reason: str
    task_name: str
    external_task_id: str
    topic: str
    process_instance_id: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfView:
    """The messages that have lain on the shelf longest, and how many there are altogether."""

    letters: Sequence[DeadLetter]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A message that was asked for: sent, or left on the shelf for the trouble there is with it."""

    letter: DeadLetter
    trouble: str = ""


class Shelf:
    """Looks at the shelf and sends what lies there; each call has a connection of its own, and each wait a limit."""

    def __init__(self, broker: BrokerSettings, queues: Iterable[str]) -> None:
        self._broker, self._queues = broker, tuple(queues)

    def look(self, limit: int) -> ShelfView:
        """Read what lies on the shelf, and leave it there.

        Raises:
            BrokerUnreachableError: the broker does not answer.
        """
        with self._connection() as connection:
            total = depth(connection, SHELF).ready
            letters = [dead_letter(message) for message in _in_turn(connection.channel(), min(limit, total))]
        return ShelfView(letters=letters, total=total)

    def replay(self, ids: Collection[str] | None) -> Generator[Replay, None, None]:
        """Send these messages, or all that lie there now, to the queues they came from; yields what became of each.

        Raises:
            BrokerUnreachableError: the broker does not answer; what was not yielded as sent lies on the shelf still.
        """
        sent: set[tuple[str, bytes]] = set()
        with self._connection() as connection:
            channel = connection.channel()
            for message in _in_turn(channel, depth(connection, SHELF).ready):
                letter = dead_letter(message)
                if ids is not None and letter.id not in ids:
                    continue
                if trouble := self._trouble_with(letter):
                    yield Replay(letter=letter, trouble=trouble)
                    continue
                # A crash of the bridge may have put the very same message there twice.
                if (letter.id, message.body) not in sent:
                    self._send(channel, message, letter)
                    yield Replay(letter=letter)
                message.ack()
                sent.add((letter.id, message.body))

    def _trouble_with(self, letter: DeadLetter) -> str:
        if not letter.queue:
            return f"no header {ORIGIN} says which queue it came from"
        if letter.queue not in {*self._queues, Queue.CALLBACKS}:
            return f"no route names the queue {letter.queue!r} it came from: is the package installed here?"
        return ""

    def _send(self, channel: Any, message: Any, letter: DeadLetter) -> None:
        publish_again(
            channel,
            message,
            exchange=EXCHANGE,
            routing_key=letter.queue,
            headers=headers_sent(message),
            confirm_timeout=self._broker.confirm_timeout,
        )

    @contextmanager
    def _connection(self) -> Iterator[kombu.Connection]:
        connection = open_link(self._broker, self._queues, confirm_publish=True)
        try:
            yield connection
        except ProcosError:
            raise
        except errors_of(connection) as error:
            address = without_secrets(self._broker.url)
            raise BrokerUnreachableError(address, str(error) or type(error).__name__) from error
        finally:
            # What was looked at and not acknowledged returns to the queue with this.
            hang_up(connection)


def shelf_headers(
    message: Any, *, origin: str, reason: str, moment: datetime, ref: DispatchRef | None = None
) -> dict[str, object]:
    """Write the headers of a message on the shelf: its own, and what a person needs to know."""
    return {
        **headers_kept(message),
        ID: _own_id(message) or uuid.uuid4().hex,
        ORIGIN: str(origin),
        MOMENT: moment.astimezone(UTC).isoformat(timespec="seconds"),
        REASON: written(reason),
        EXTERNAL_TASK: ref.external_task_id if ref else "",
        TOPIC: ref.topic if ref else "",
        INSTANCE: ref.process_instance_id if ref else "",
    }


def dead_letter(message: Any) -> DeadLetter:
    """Read the headers of a message on the shelf, whoever wrote them."""

    def text(name: str) -> str:
        value = message.headers.get(name)
        return written(value) if isinstance(value, str) else ""

    return DeadLetter(
        id=text(ID) or _own_id(message),
        queue=text(ORIGIN),
        shelved_at=text(MOMENT),
        reason=text(REASON),
        task_name=text("task"),
        external_task_id=text(EXTERNAL_TASK),
        topic=text(TOPIC),
        process_instance_id=text(INSTANCE),
        size=len(message.body or b""),
    )


def written(text: str) -> str:
    """Cut a text to what a header should hold, without characters that would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_REASON])


def _own_id(message: Any) -> str:
    celery_id = message.headers.get("id")
    return written(celery_id) if isinstance(celery_id, str) and len(celery_id) <= LONGEST_ID else ""


def _in_turn(channel: Any, count: int) -> Iterator[Any]:
    """Yield what lies on the shelf, oldest first; what comes meanwhile is left, since a replayed message may return."""
    for _ in range(count):
        message = take(channel, SHELF)
        if message is None:
            return
        yield message
