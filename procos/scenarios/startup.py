"""The start of the system in the guide's four phases: environment, kernel, workers, the health of each part.

A stack that is not running is started, and stays up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import ModelError, ProcosError, SettingsError
from procos.engine.http import HttpEngine
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.kernel.background import follow, start_in_background
from procos.kernel.boot.root_models import root_models
from procos.kernel.parts.engine import installed_java
from procos.kernel.plan import check, settings_with
from procos.kernel.stack import Phase
from procos.kernel.work_view import queue_rows
from procos.queues import Queue
from procos.routes import by_queue
from procos.scenarios.stage import bad, good, timed
from procos.shipped import ORCHESTRATOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.kernel.state import StackFolder
    from procos.kernel.supervisor import Observer
    from procos.scenarios.stage import Finding, Stage
    from procos.settings import Settings


def startup(settings: Settings, folder: StackFolder, observer: Observer) -> Iterator[Stage]:
    """Go through the phases, one stage each; the first that is not good is the last."""
    for title, look in (
        ("Environment", lambda: _environment(settings)),
        ("Kernel", lambda: _kernel(folder, observer)),
        ("Workers", lambda: _workers(folder)),
        ("Health", lambda: _health(folder)),
    ):
        stage = timed(title, look)
        yield stage
        if not stage.is_good:
            return


def _environment(settings: Settings) -> Iterator[Finding]:
    try:
        check(settings)
    except SettingsError as error:
        yield from (bad("this machine", problem) for problem in error.problems)
    else:
        yield good("this machine", f"has all that is needed, Java {installed_java() or 'elsewhere'}")
    try:
        models = root_models(settings.process_directory)
    except ModelError as error:
        yield bad("process models", str(error))
    else:
        yield good("process models", f"{len(models)} are sound: {', '.join(model.keys[0] for model in models)}")


def _kernel(folder: StackFolder, observer: Observer) -> Iterator[Finding]:
    was_running = folder.is_running()
    process = None if was_running else start_in_background(folder, ())
    state = follow(folder, observer=observer, process=process)
    if state.phase is not Phase.READY:
        failure = state.failure
        yield bad("stack", f"{failure.part}: {failure.reason}" if failure else f"is {state.phase}")
        return
    yield good("stack", "runs already" if was_running else "was started, and stays up until `procos down`")
    transport = Transport(settings_with(folder.environment()).engine)
    try:
        yield good("engine", f"Camunda {HttpEngine(transport).version()} at {state.part('engine').address}")
        running = Processes(transport).running(ORCHESTRATOR)
        yield (good if len(running) == 1 else bad)("orchestrator", f"{len(running)} run, expected 1")
    except ProcosError as error:
        yield bad("engine", str(error))


def _workers(folder: StackFolder) -> Iterator[Finding]:
    try:
        rows = queue_rows(settings_with(folder.environment()))
    except ProcosError as error:
        yield bad("broker", str(error))
        return
    for row in rows:
        if row.name not in by_queue() and row.name != Queue.CALLBACKS:  # dead letters may lie where they are
            continue
        if row.consumers is None:
            yield good(row.name, f"{row.ready} wait; this broker does not count who takes from it")
        else:
            yield (good if row.consumers else bad)(row.name, f"{row.consumers} take from it, {row.ready} wait")


def _health(folder: StackFolder) -> Iterator[Finding]:
    state = folder.state()
    for part in state.parts if state else ():
        where = f" at {part.address}" if part.address else ""
        yield (good if part.is_healthy else bad)(part.name, f"{part.status}{where} {part.reason}".rstrip())
