"""Ends the long poll that is parked at the engine under a worker id, our own or that of a bridge that is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.external_task import Topic
from procos.engine.subscription import Subscription

if TYPE_CHECKING:
    from procos.engine.protocol import Engine

STOP_TOPIC = Topic("procos.stop")


def end_parked_poll(engine: Engine, holder: str) -> None:
    """Have our engine answer it: a second poll under the same worker id ends the first."""
    subscription = Subscription(topic=STOP_TOPIC, lock_duration=timedelta(seconds=5), variables=())
    engine.fetch_and_lock(holder, [subscription], max_tasks=1, wait=timedelta(milliseconds=1))
