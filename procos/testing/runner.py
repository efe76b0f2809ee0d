"""Takes steps through the whole of ProcOS in this process: fetch, dispatch, task, report, and every retry.

The engine and the ledger are in memory and the clock is frozen, so that an hour of waiting takes no time; poller,
dispatcher, the wrapper of `@process_task` and the reporter are the real ones. There is no broker and no worker: a
dispatch is run as soon as it is published.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from bridge.budget import Budget
from bridge.dispatcher import Dispatcher
from bridge.model_constants import ModelConstants
from bridge.poller import Poller
from bridge.reporter import Reporter, Verdict
from procos.domain.errors import EngineBusyError, EngineError, UnreachableError
from procos.domain.external_task import Topic
from procos.routes import by_queue, routes
from procos.settings import BlobSettings
from procos.testing.clock import InstantStop
from procos.testing.engine import FakeEngine
from procos.testing.ledger import FakeLedger
from procos.testing.models import ModelStep
from procos.testing.publisher import RecordingPublisher
from procos.testing.running import run_in_process
from procos.testing.samples import typed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.publisher import Publication
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTaskId
    from procos.domain.outcome import Outcome
    from procos.settings import Settings

LOCK = timedelta(minutes=5)
REPLICA = "tests"
MOST_RUNS = 1000
NO_BLOBS = BlobSettings()
FILES_SECONDS = 60.0
"""What the files of a step may take to the store, by the real clock."""
MOST_FAULTS = 50
"""Calls the engine may refuse one after another, before a test is told that it never ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How a step ended, and what happened on the way."""

    verdict: Verdict
    variables: Mapping[str, object] = field(default_factory=dict)
    """What the step has set, if it was completed."""
    error_code: str = ""
    """The BPMN error that was caught, if there was one."""
    incident: str = ""
    """The incident's message, as Cockpit shows it, if it waits for a person."""
    outcomes: tuple[Outcome, ...] = ()
    """What each run of the task came to, the last one last."""
    waited: timedelta = timedelta(0)
    """How long the step backed off, in all."""


class StepRunner:
    """Runs steps one at a time; `engine` and `ledger` may be looked at, and made to fail.

    With `blobs` there is a store of large values and files, such as `BlobSettings(url="memory://tests")`. With
    `settings` the tasks run under these, such as `load_settings({"PROCOS_CONNECTIONS__CRM__URL": "…"}, dotenv=None)`;
    both may be set later too.
    """

    def __init__(
        self, engine: FakeEngine | None = None, *, blobs: BlobSettings = NO_BLOBS, settings: Settings | None = None
    ) -> None:
        self.engine, self.blobs, self.settings = engine or FakeEngine(), blobs, settings
        self.clock = self.engine.clock
        self.ledger = FakeLedger(self.clock)
        self._stop = InstantStop()
        self._published = RecordingPublisher()
        self._constants: dict[ExternalTaskId, Mapping[str, str]] = {}
        self._reporter = Reporter(
            self.engine, self.ledger, routes(), is_ours=lambda holder: holder.startswith(REPLICA), blobs=blobs,
            stop=self._stop,
        )  # fmt: skip
        self._dispatchers = {queue: self._dispatcher(queue) for queue in by_queue()}
        self._pollers = {queue: self._poller(queue, dispatcher) for queue, dispatcher in self._dispatchers.items()}

    def run(
        self,
        step: str | ModelStep,
        given: Mapping[str, object] | None = None,
        /,
        *,
        catches: Iterable[str] = (),
        **variables: object,
    ) -> StepResult:
        """Let a process arrive at a step, and take it to its end: a topic, or a step of a model.

        Args:
            step: the topic, or what `model_steps` has read.
            given: variables whose names Python does not allow as arguments.
            catches: the BPMN errors boundary events catch; a step of a model knows its own.
            variables: what the process has set before.
        """
        task_id = self._arrive(step, {**(given or {}), **variables}, catches)
        queue = str(routes()[Topic(step.topic if isinstance(step, ModelStep) else step)].queue)
        began = self.clock.now()
        outcomes: list[Outcome] = []
        for _ in range(MOST_RUNS):
            outcome, verdict = self._run_once(queue, task_id)
            outcomes += [outcome] if outcome is not None else []
            if verdict not in {Verdict.RETRY, Verdict.POSTPONED}:
                return self._result(task_id, verdict, tuple(outcomes), self.clock.now() - began)
            self._await_retry()
        raise AssertionError(f"the step has not ended after {MOST_RUNS} runs; the last outcome was {outcomes[-1]}")

    def _dispatcher(self, queue: str) -> Dispatcher:
        return Dispatcher(
            self.engine, self.ledger, self._published, routes(), queue=queue, lease=LOCK, blobs=self.blobs,
            constants=ModelConstants(routes(), lambda task: self._constants.get(task.id, {})), stop=self._stop,
        )  # fmt: skip

    def _poller(self, queue: str, dispatcher: Dispatcher) -> Poller:
        return Poller(
            self.engine, dispatcher, by_queue()[queue], Budget(self.ledger, queue, capacity=100, least=100),
            holder=f"{REPLICA}/{queue}", lock_duration=LOCK, wait=timedelta(0),
        )  # fmt: skip

    def _arrive(self, step: str | ModelStep, variables: Mapping[str, object], catches: Iterable[str]) -> ExternalTaskId:
        if not isinstance(step, ModelStep):
            return self.engine.add(step, variables=typed(**variables), catches=catches)
        task_id = self.engine.add(
            step.topic,
            variables=typed(**variables),
            catches=step.catches,
            extension_properties=step.extension_properties,
        )
        self._constants[task_id] = step.constants
        return task_id

    def _run_once(self, queue: str, task_id: ExternalTaskId) -> tuple[Outcome | None, Verdict]:
        publication = self._dispatched(queue, task_id)
        if publication is None:
            return None, Verdict.INCIDENT if task_id in self.engine.incidents else Verdict.GONE
        outcome = run_in_process(publication, self.ledger, self.blobs, self.settings)
        if outcome is None:
            return None, Verdict.GONE
        return outcome, self._reported(publication.dispatch.ref, outcome)

    def _dispatched(self, queue: str, task_id: ExternalTaskId) -> Publication | None:
        """Fetch and publish the step; None where it was refused, or is gone."""
        for _ in range(MOST_FAULTS):
            before = len(self._published.published)
            with suppress(UnreachableError, EngineBusyError):  # as the poller's own loop does
                self._pollers[queue].turn(self._stop)
            self._dispatchers[queue].await_files(FILES_SECONDS)
            mine = [p for p in self._published.published[before:] if p.dispatch.ref.external_task_id == task_id]
            if mine:
                return mine[0]
            if task_id in self.engine.incidents or task_id not in {task.id for task in self.engine.open_tasks()}:
                return None
            self.clock.advance(seconds=LOCK.total_seconds())  # what a lost answer has locked is offered again
        raise AssertionError(f"{MOST_FAULTS} fetches did not bring the step")

    def _reported(self, ref: DispatchRef, outcome: Outcome) -> Verdict:
        """Report until the engine takes it: the queue of results keeps what it refuses."""
        for tries in range(1, MOST_FAULTS + 1):
            try:
                return self._reporter.report(ref, outcome, tries=tries)
            except (UnreachableError, EngineError) as error:
                refusal = error
                self.clock.advance(seconds=1)
        raise AssertionError(f"the engine did not take the outcome in {MOST_FAULTS} tries: {refusal}") from refusal

    def _await_retry(self) -> None:
        self.clock.advance(seconds=(self.ledger.until_next_retry() or 0.0) + 0.001)

    def _result(
        self, task_id: ExternalTaskId, verdict: Verdict, outcomes: tuple[Outcome, ...], waited: timedelta
    ) -> StepResult:
        return StepResult(
            verdict=verdict,
            variables=self.engine.completed.get(task_id, {}),
            error_code=self.engine.bpmn_errors.get(task_id, ""),
            incident=self.engine.incidents.get(task_id, ""),
            outcomes=outcomes,
            waited=timedelta(seconds=round(waited.total_seconds())),
        )
