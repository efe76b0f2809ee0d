"""Finds external tasks whose topic no route serves, and says so: nobody would ever fetch them.

A step that waits for ever without a word is the worst outcome, so such a task becomes an incident that names the topic
and the known ones. Where other clients share the engine, PROCOS_BRIDGE_UNKNOWN_TOPICS=leave switches this off.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos.engine.protocol import Subscription
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Mapping

    from bridge.dispatcher import Dispatcher
    from procos.domain.external_task import Topic
    from procos.engine.protocol import Engine
    from procos.routes import Route

CHECK_SECONDS = 5.0
BATCH = 50

log = get_logger(__name__)


class UnservedTopics:
    """Looks for open external tasks without a route."""

    def __init__(
        self,
        engine: Engine,
        open_topics: Callable[[], Collection[Topic]],
        dispatcher: Dispatcher,
        routes: Mapping[Topic, Route],
        *,
        holder: str,
    ) -> None:
        self._engine, self._open_topics, self._dispatcher = engine, open_topics, dispatcher
        self._routes, self._holder = routes, holder

    def run(self, stop: threading.Event) -> None:
        """Look every few seconds until stopped."""
        while not stop.wait(CHECK_SECONDS):
            try:
                self.turn()
            except Exception as error:  # noqa: BLE001  # the loop outlives everything; the pollers report an outage themselves
                log.debug("unserved_topics.skipped", reason=str(error))

    def turn(self) -> None:
        """Fetch what nobody serves; the dispatcher makes an incident of each."""
        unserved = sorted(set(self._open_topics()) - self._routes.keys())
        if not unserved:
            return
        subscriptions = [
            Subscription(topic=topic, lock_duration=timedelta(seconds=30), variables=()) for topic in unserved
        ]
        self._dispatcher.dispatch(
            self._engine.fetch_and_lock(self._holder, subscriptions, max_tasks=BATCH, wait=timedelta(0))
        )
