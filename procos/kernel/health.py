"""Asks the parts how they are, now and then, and says what it finds to the supervisor.

It restarts nothing: a part that lives and does not answer may be busy, and `procos status` says so. On the same round
it sees to what else must not be left alone for ever: the guard, and the size of the logs. A round asks all parts at
once and comes twice in an interval, so that a part that fails is seen within one, however long the others take.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from procos.kernel import logs
from procos.kernel.probes import ask
from procos.kernel.stack import HealthReport
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from queue import SimpleQueue

    from procos.kernel.nursery import Nursery
    from procos.kernel.part import Part
    from procos.kernel.stack import Item
    from procos.kernel.state import StackFolder

log = get_logger(__name__)

END_LIMIT = 1.0
ROUNDS_IN_AN_INTERVAL = 2
EXTERNAL_EVERY = 12
"""Rounds between questions to parts that are not ours, which may count or charge for them."""


class HealthChecks:
    """The rounds; they run for the length of the context."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        inbox: SimpleQueue[Item],
        nursery: Nursery,
        folder: StackFolder,
        interval: timedelta,
    ) -> None:
        self._parts = parts
        self._inbox = inbox
        self._nursery = nursery
        self._folder = folder
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="health-checks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A round under way ends by itself within the limits of its probes, and what it finds is no longer read.
        self._thread.join(END_LIMIT)

    def _rounds(self) -> None:
        number = 0
        while not self._over.wait(self._interval.total_seconds() / ROUNDS_IN_AN_INTERVAL):
            number += 1
            try:
                self.go_round(number)
            except Exception:
                # One bad round, a full disk say, must not end the checks for good.
                log.exception("health.round_failed")

    def go_round(self, number: int) -> None:
        """Ask every part whose turn it is, and see to guard and logs."""
        self._nursery.renew_guard()
        for part in self._parts:
            logs.bound(self._folder.log(part.log_name))
        asked = [part for part in self._parts if not part.is_external or number % EXTERNAL_EVERY == 0]
        with ThreadPoolExecutor(max(len(asked), 1), thread_name_prefix="health-check") as threads:
            for part in asked:
                threads.submit(self._ask, part)

    def _ask(self, part: Part) -> None:
        self._inbox.put(HealthReport(name=part.name, reason=ask(part.probe)))
