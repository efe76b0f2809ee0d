"""Finds external tasks whose topic no route serves, and says so: nobody would ever fetch them.

A step that waits for ever without a word is the worst outcome, so such a task becomes an incident that names the topic
and the known ones. Where other clients share the engine, PROCOS_BRIDGE_UNKNOWN_TOPICS=leave switches this off. The
engine names open topics without regard to tenant or process, so the fetch carries the bridge's own filter.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos.engine.subscription import EVERYTHING, Filter, Subscription
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from bridge.dispatcher import Dispatcher
    from procos.domain.external_task import Topic
    from procos.engine.protocol import Engine
    from procos.routes import Route

TURN_SECONDS = 5.0
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
        only: Filter = EVERYTHING,
    ) -> None:
        self._engine, self._open_topics, self._dispatcher = engine, open_topics, dispatcher
        self._routes, self._holder, self._only = routes, holder, only

    def turn(self) -> None:
        """Fetch what nobody serves; the dispatcher makes an incident of each."""
        unserved = sorted(set(self._open_topics()) - self._routes.keys())
        if not unserved:
            return
        subscriptions = [
            Subscription(topic=topic, lock_duration=timedelta(seconds=30), variables=(), only=self._only)
            for topic in unserved
        ]
        self._dispatcher.dispatch(
            self._engine.fetch_and_lock(self._holder, subscriptions, max_tasks=BATCH, wait=timedelta(0))
        )
