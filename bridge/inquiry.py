"""A question to another part, put by a thread of its own: rarely enough to cost nothing, and nobody waits for it long.

Health checks and scrapes come as often as somebody pleases; `readiness` and `backlog` ask through this.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

Answer = TypeVar("Answer")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[Answer]):
    """The last answer there is, and whether the latest question was answered at all and in time."""

    value: Answer | None
    is_fresh: bool


class Inquiry(Generic[Answer]):
    """Asks at most once per `every`, counted from the end of the last question; never puts one twice at a time."""

    def __init__(
        self,
        name: str,
        question: Callable[[], Answer],
        *,
        every: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._question = name, question
        self._every, self._clock = every.total_seconds(), clock
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._is_asking = False
        self._due = clock()
        self._reply: Reply[Answer] = Reply(value=None, is_fresh=False)

    def begin(self) -> threading.Event:
        """Ask anew if the last answer is too old, without waiting; returns what tells the end of the question."""
        with self._turn:
            if not self._is_asking and self._clock() >= self._due:
                self._is_asking, self._ended = True, threading.Event()
                threading.Thread(target=self._ask, name=f"asks-{self._name}", daemon=True).start()
            return self._ended

    def reply(self, patience: float) -> Reply[Answer]:
        """Return the youngest answer, asking anew if it is too old; waits at most `patience` seconds for it."""
        if self.begin().wait(patience):
            return self._reply
        return Reply(value=self._reply.value, is_fresh=False)

    def _ask(self) -> None:
        try:
            reply = Reply(value=self._question(), is_fresh=True)
        except Exception as error:  # noqa: BLE001  # any error means the same: no answer, the last one stays
            log.debug("inquiry.unanswered", part=self._name, reason=str(error) or type(error).__name__)
            reply = Reply(value=self._reply.value, is_fresh=False)
        with self._turn:
            self._reply = reply
            self._is_asking, self._due = False, self._clock() + self._every
            self._ended.set()
