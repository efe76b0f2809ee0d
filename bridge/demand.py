"""The ledger's numbers: what is in flight, places of caps that are taken, slots of the workers, and what they start.

All replicas see the same numbers. `bridge.budget` makes of them how much more may be fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.ledger_values import Demand, Usage
from bridge.store import Store
from procos import demand_scripts, ledger_scripts
from procos import ledger_keys as keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.caps import Cap
    from procos.domain.external_task import Topic
    from procos.settings import RedisSettings


class Numbers(Store):
    """What can be counted in Redis; may be shared by threads."""

    def __init__(self, settings: RedisSettings) -> None:
        super().__init__(settings)
        self._caps: Mapping[Topic, Sequence[Cap]] = {}
        self._demand = self._redis.register_script(demand_scripts.DEMAND)
        self._due_retries = self._redis.register_script(ledger_scripts.DUE_RETRIES)

    def in_flight(self, queue: str) -> int:
        """Count what is reserved, published or started on a queue."""
        with self._reachable():
            return int(self._redis.zcard(keys.leases(queue)))

    def usage(self, queue: str, caps: Sequence[Cap] = ()) -> Usage:
        """Count the same, and how many places of each cap are taken, in one round trip."""
        pairs = [(cap.name, pair) for cap in caps for pair in cap.pairs(queue)]
        with self._reachable(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zcard(keys.leases(queue))
            for _, (places, leases) in pairs:
                # What has no lease any more has given its place back; the count leaves it out for good.
                pipeline.zinterstore(places, {places: 1, leases: 0})
            in_flight, *counts = pipeline.execute()
        taken = {cap.name: 0 for cap in caps}
        for (name, _), count in zip(pairs, counts, strict=True):
            taken[name] += int(count)
        return Usage(in_flight=int(in_flight), taken=taken)

    def demand(self, queue: str) -> Demand:
        """Return what workers tell of a queue: its slots, and how many starts there were on it so far."""
        with self._reachable():
            slots, starts = self._demand(keys=[keys.slots(queue), keys.STARTS], args=[queue])
        return Demand(slots=int(slots), starts=int(starts))

    def until_next_retry(self) -> float | None:
        """Return the seconds until the next retry falls due, or None."""
        with self._reachable():
            milliseconds = int(self._due_retries(keys=[keys.RETRIES_DUE]))
        return None if milliseconds < 0 else milliseconds / 1000

    def _cap_keys(self, topic: Topic, queue: str) -> list[str]:
        """Return the keys by which a script finds the places of a topic's caps."""
        return [key for cap in self._caps.get(topic, ()) for pair in cap.pairs(queue) for key in pair]

    def _cap_arguments(self, topic: Topic) -> list[int]:
        """Return for each cap how many it allows and over how many queues."""
        return [number for cap in self._caps.get(topic, ()) for number in (cap.at_once, len(cap.queues))]

    def _places(self, topic: Topic, queue: str) -> list[str]:
        return [cap.pairs(queue)[0][0] for cap in self._caps.get(topic, ())]
