"""What people see of a process instance's steps: queue, worker and times, as bridge and workers wrote them to Redis.

The ledger is the bridge's; this only reads. Without Redis there is nothing to show beyond what the engine knows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import redis

from procos import ai_keys
from procos import ledger_keys as keys
from procos.domain.addresses import without_secrets
from procos.domain.errors import LedgerUnreachableError
from procos.domain.external_task import ExternalTaskId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from procos.domain.external_task import ProcessInstanceId
    from procos.settings import RedisSettings

MILLISECONDS_A_SECOND = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AiCall:
    """A request to an AI provider that is under way: about how many tokens of the answer there are, after how long."""

    provider: str
    model: str
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One external task, seen from the Celery side; `seconds` is the time from start to verdict, `waited` before it."""

    topic: str
    queue: str
    state: str
    worker: str | None
    starts: int
    waited: float | None
    seconds: float | None
    ai_call: AiCall | None = None


class Steps:
    """Reads steps."""

    def __init__(self, settings: RedisSettings) -> None:
        self._address = without_secrets(settings.url)
        self._redis = redis.Redis.from_url(
            settings.url,
            decode_responses=True,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.timeout,
        )

    def of(
        self, instance_id: ProcessInstanceId, open_tasks: Iterable[ExternalTaskId] = ()
    ) -> Mapping[ExternalTaskId, Step]:
        """Return the ended steps of an instance, and those of the given external tasks that are in flight.

        Raises:
            LedgerUnreachableError: Redis does not answer.
        """
        try:
            ended = self._hash(keys.steps(instance_id))
            steps = {ExternalTaskId(task_id): _step(json.loads(text)) for task_id, text in ended.items()}
            for task_id in open_tasks:
                if task_id not in steps and (entry := self._hash(keys.entry(task_id))):
                    steps[task_id] = replace(_step(entry), ai_call=self._ai_call(task_id))
        except redis.RedisError as error:
            raise LedgerUnreachableError(self._address, str(error)) from error
        return steps

    def in_flight(self, queues: Iterable[str]) -> Mapping[str, int]:
        """Count what is reserved, published or started on each queue.

        Raises:
            LedgerUnreachableError: Redis does not answer.
        """
        try:
            return {queue: int(self._redis.zcard(keys.leases(queue))) for queue in sorted(queues)}
        except redis.RedisError as error:
            raise LedgerUnreachableError(self._address, str(error)) from error

    def _ai_call(self, task_id: ExternalTaskId) -> AiCall | None:
        shown = self._hash(ai_keys.progress(task_id))
        if not shown:
            return None
        seconds, microseconds = self._redis.time()
        return AiCall(
            provider=shown.get("provider", ""),
            model=shown.get("model", ""),
            tokens=round(_number(shown.get("tokens"))),
            seconds=max(seconds + microseconds / 1e6 - _number(shown.get("since")) / MILLISECONDS_A_SECOND, 0.0),
        )

    def _hash(self, key: str) -> Mapping[str, str]:
        return cast("Mapping[str, str]", self._redis.hgetall(key))


def _step(source: Mapping[str, object]) -> Step:
    reserved, started, ended = (_number(source.get(name)) for name in ("reserved_at", "started_at", "ended_at"))
    return Step(
        topic=str(source.get("topic") or ""),
        queue=str(source.get("queue") or ""),
        state=str(source.get("outcome") or source.get("state") or ""),
        worker=str(source["worker"]) if source.get("worker") else None,
        starts=int(_number(source.get("starts"))),
        waited=(started - reserved) / MILLISECONDS_A_SECOND if started and reserved else None,
        seconds=(ended - started) / MILLISECONDS_A_SECOND if ended and started else None,
    )


def _number(value: object) -> float:
    return float(str(value)) if value else 0.0
