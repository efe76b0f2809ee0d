"""A question to a language model as the guide tells it: start, watch the steps, read the results from history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import ProcosError
from procos.scenarios.stage import bad, good, timed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.client import Client, ProcessInstance, Result
    from procos.scenarios.stage import Finding, Stage

KEY = "ai_query_process"
QUESTION = "What are the benefits of process automation?"
MOST_TOKENS = 500
USER = "scenario"
RESULTS = ("ai_response", "selected_provider")


class AiQuery:
    """One question; its stages are gone through once."""

    def __init__(self, client: Client, question: str, *, timeout: float) -> None:
        self._client, self._question, self._timeout = client, question, timeout
        self._instance: ProcessInstance | None = None
        self._result: Result | None = None

    def stages(self) -> Iterator[Stage]:
        """Go through the stages; the first that is not good is the last."""
        for title, look in (("Start", self._start), ("Monitor", self._monitor), ("Results", self._results)):
            stage = timed(title, look)
            yield stage
            if not stage.is_good:
                return

    def _start(self) -> Iterator[Finding]:
        variables = {
            "user_query": self._question,
            "ai_provider": "auto",
            "max_tokens": MOST_TOKENS,
            "user_id": USER,
        }
        try:
            self._instance = self._client.start(KEY, variables)
        except ProcosError as error:
            yield bad(KEY, str(error))
        else:
            yield good(KEY, f"instance {self._instance.id} was started")

    def _monitor(self) -> Iterator[Finding]:
        assert self._instance is not None  # noqa: S101  # the stage before has started it
        self._result = self._instance.result(timeout=self._timeout)
        for view in self._result.last.steps:
            step, took = view.step, f"{view.seconds:.2f} s" if view.seconds is not None else "not over"
            where = f"{step.queue}, {step.worker}" if step else "queue and worker unknown"
            yield good(view.activity.name, f"{took}  {where}")
        yield from (bad("incident", incident) for incident in self._result.incidents)

    def _results(self) -> Iterator[Finding]:
        assert self._result is not None  # noqa: S101  # the same
        result = self._result
        verdict = good if result.is_good else bad
        yield verdict(KEY, f"{result.state} at “{result.ended_at}” after {result.seconds:.2f} s")
        for name in RESULTS:
            value = result.variables.get(name)
            yield good(name, str(value)) if value else bad(name, "is not among the results")
