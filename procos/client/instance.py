"""One process instance in the hands of a program: watch it, wait for its result, cancel it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from procos.client.result import Result
from procos.client.watching import InstanceWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from procos.client.watching import Snapshot, StepView
    from procos.domain.external_task import ProcessInstanceId
    from procos.engine.processes import Processes
    from procos.steps import Steps

PATIENCE_SECONDS = 300.0


class ProcessInstance:
    """An instance that was started or found; asking for it again and again costs the engine a few short questions."""

    def __init__(
        self,
        processes: Processes,
        steps: Steps,
        instance_id: ProcessInstanceId,
        key: str,
        *,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.id, self.key = instance_id, key
        self._processes, self._steps = processes, steps
        self._wait = wait or threading.Event().wait

    def __repr__(self) -> str:
        return f"ProcessInstance({self.key!r}, {self.id!r})"

    def snapshots(self, *, timeout: float = PATIENCE_SECONDS) -> Iterator[Snapshot]:
        """Yield what there is to see, again and again, until it ends, waits for a person, or `timeout` is over.

        Raises:
            EngineUnreachableError: the engine does not answer; the instance goes on, and may be watched again.
        """
        watch = InstanceWatch(self._processes, self._steps, self.id, wait=self._wait)
        yield from watch.snapshots(timeout=timeout)

    def watch(self, *, timeout: float = PATIENCE_SECONDS) -> Iterator[StepView]:
        """Yield each step whenever its status, queue or worker is new, in the order in which that is seen.

        Raises:
            EngineUnreachableError: the engine does not answer; the instance goes on, and may be watched again.
        """
        for views, _ in self._news(timeout):
            yield from views

    def result(
        self, *, timeout: float = PATIENCE_SECONDS, on_step: Callable[[StepView], object] | None = None
    ) -> Result:
        """Wait until it ends, waits for a person, or `timeout` seconds are over, and return how it is then.

        Look at `Result.is_good`: a process that fails raises nothing here. `on_step` is told what `watch` yields.

        Raises:
            EngineUnreachableError: the engine does not answer; the instance goes on.
        """
        last = None
        for views, last in self._news(timeout):  # noqa: B007  # the last one is what counts
            for view in views:
                if on_step is not None:
                    on_step(view)
        assert last is not None  # noqa: S101  # there is always a first look
        return Result(last=last, variables=self.variables())

    def variables(self) -> Mapping[str, object]:
        """Return its own variables as they are now, or were at its end."""
        return self._processes.variables(self.id)

    def cancel(self) -> bool:
        """Delete it, and with it what it has called; tasks that run for it are told. False when it had ended.

        Raises:
            EngineUnreachableError: the engine does not answer; whether it is deleted is not known.
        """
        return self._processes.cancel(self.id)

    def _news(self, timeout: float) -> Iterator[tuple[list[StepView], Snapshot]]:
        told: dict[str, object] = {}
        for snapshot in self.snapshots(timeout=timeout):
            views = [view for view in snapshot.steps if told.get(view.id) != view.news]
            told.update({view.id: view.news for view in views})
            yield views, snapshot
