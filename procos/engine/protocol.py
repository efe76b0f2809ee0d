"""What the bridge needs of an engine: calls on external tasks.

`HttpEngine` does them over REST; `procos.testing.FakeEngine` does them in memory under the same contract cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.engine.bulk import Refusal
    from procos.engine.reports import Report
    from procos.engine.subscription import Subscription


class Engine(Protocol):
    """External tasks of a Camunda 7 engine; every method may raise what `procos.engine.transport` raises."""

    def fetch_and_lock(
        self, holder: str, subscriptions: Sequence[Subscription], *, max_tasks: int, wait: timedelta
    ) -> Sequence[ExternalTask]:
        """Lock up to `max_tasks` for `holder`, waiting at the engine up to `wait` for the first."""

    def complete(self, external_task_id: ExternalTaskId, holder: str, variables: Mapping[str, object]) -> None:
        """End the step with its result."""

    def fail(
        self,
        external_task_id: ExternalTaskId,
        holder: str,
        *,
        message: str,
        details: str,
        retries: int,
        retry_in: timedelta,
        variables: Mapping[str, object] | None = None,
    ) -> None:
        """Report a failed try; 0 retries make an incident."""

    def raise_bpmn_error(
        self, external_task_id: ExternalTaskId, holder: str, *, code: str, message: str, variables: Mapping[str, object]
    ) -> None:
        """Throw a BPMN error at the step."""

    @property
    def longest_list(self) -> int:
        """How many reports one call of `report` takes; 0 where the engine has no such call, at this moment."""

    def report(self, reports: Sequence[Report]) -> Sequence[Refusal | None]:
        """Report a list in one call; returns for each why it was refused, None if the engine took it."""

    def extend(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Let a lock that has not run out end `duration` from now."""

    def lock(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Take a lock that is free, run out, or the holder's own."""

    def unlock(self, external_task_id: ExternalTaskId) -> None:
        """Give the external task back, for anybody to fetch."""

    def find(self, external_task_id: ExternalTaskId) -> ExternalTask:
        """Read one external task, without its variables."""

    def held_by(self, holder: str) -> Sequence[ExternalTask]:
        """List every external task whose last lock is the holder's, run out or not, without their variables."""

    def which_exist(self, external_task_ids: Collection[ExternalTaskId]) -> frozenset[ExternalTaskId]:
        """Tell which of these are still open, in few requests."""

    def content(self, task: ExternalTask, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """Read piece by piece what is in a File or Bytes variable that a fetched step sees."""

    def has_completed(self, external_task_id: ExternalTaskId) -> bool:
        """Whether history says that the step was completed, rather than cancelled or ended by a BPMN error."""
