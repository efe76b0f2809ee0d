"""Runs a dispatch in this process, through the very wrapper a worker calls; the ledger in memory stands for Redis."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from bridge.outcomes import outcome_in
from procos.domain.outcome import Envelope, TaskFailed, failure_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.publisher import Publication
    from procos.domain.outcome import Outcome
    from procos.settings import BlobSettings, Settings
    from procos.testing.ledger import FakeLedger
    from tasks.runs import Run

WORKER = "tests@here"
NOT_WANTED = -1
IGNORED = "IGNORED"
"""Celery's state of a task that has said that it has no outcome."""


class Hearts:
    """A heartbeat that shows nothing to nobody: the run is over before the next one were due."""

    def add(self, run: Run) -> None:
        """Show this run."""

    def remove(self, run: Run) -> None:
        """Show it no longer."""


def run_in_process(
    publication: Publication, ledger: FakeLedger, blobs: BlobSettings, settings: Settings | None = None
) -> Outcome | None:
    """Do what a worker of these settings does with a dispatch; without any, of those of this process.

    Returns None where it is not to be run, or has stopped since it was cancelled.
    """
    route, dispatch = publication.route, publication.dispatch
    import_module(route.module)
    from procos.app import app  # reads the settings, so not before something is run

    with _ledger_in_memory(ledger), _settings_of(app, settings, blobs):
        ended = app.tasks[route.task_name].apply(kwargs=dispatch.to_kwargs(), task_id=dispatch.ref.celery_id)
    match ended.result:
        case Envelope() as envelope:
            return outcome_in(dict(envelope.fields))
        case TaskFailed() as failed:
            return failure_from_json(failed.payload)
        case _ if str(ended.state) == IGNORED:
            return None
    raise AssertionError(f"{route.task_name} ended as {ended.state}: {ended.result!r}")


@contextmanager
def _settings_of(app: Any, settings: Settings | None, blobs: BlobSettings) -> Iterator[None]:
    own: Settings = app.conf.procos
    given = settings or own
    app.conf.procos = given.model_copy(update={"blobs": blobs}) if blobs.url is not None else given
    try:
        yield
    finally:
        app.conf.procos = own


@contextmanager
def _ledger_in_memory(ledger: FakeLedger) -> Iterator[None]:
    import tasks.task
    from tasks.starts import Start

    def note_start(run: Run, *, max_starts: int, **_: Any) -> Start:
        (starts, *_rest) = ledger.mark_started(run.ref, WORKER, run=run.id)
        if starts == NOT_WANTED:
            return Start.NOT_WANTED
        run.starts = starts
        return Start.TOO_OFTEN if starts > max_starts else Start.RUN

    with patch.multiple(tasks.task, note_start=note_start, heartbeat=lambda _url: Hearts()):
        yield
