"""The farewell: `procos_system_shutdown` runs to its end while everything is still there, within a limit.

It drains what is under way and ends the orchestrator. Where nobody would run its step it is not made to wait for one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.registry import Registry
from procos.domain.errors import ProcosError, UnreachableError
from procos.engine.correlation import throw_signal
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.logs import get_logger
from procos.queues import Queue, depths
from procos.shipped import SHUTDOWN, SHUTDOWN_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import ProcessInstanceId
    from procos.settings import Settings

DRAIN = "drain"
"""The variable that says whether there is anybody to run the step that waits."""
PAUSE_SECONDS = 0.1
CALL_SECONDS = 3.0
TRIES = 3

log = get_logger(__name__)


def take_leave(settings: Settings, is_hurried: Callable[[float], bool]) -> str:
    """Run the process, as long as the settings say; returns in words what came of it.

    `is_hurried` lets some seconds pass and says whether somebody does not want to wait. An instance that has not ended
    by then is deleted, since it would else shut down the system that comes after us; the orchestrator is told all the
    same.
    """
    transport = Transport(settings.engine.model_copy(update={"timeout": min(settings.engine.timeout, CALL_SECONDS)}))
    processes, limit = Processes(transport), settings.kernel.farewell_limit
    try:
        instance = processes.start(SHUTDOWN, {DRAIN: _is_anybody_there(settings)})
    except ProcosError as error:
        return f"{SHUTDOWN} could not be run: {error}"
    if _has_ended(processes, instance, limit, is_hurried):
        return f"{SHUTDOWN} has ended"
    _cut_short(transport, processes, instance)
    return f"{SHUTDOWN} did not end within {limit:g} s and was cut short"


def _has_ended(
    processes: Processes, instance: ProcessInstanceId, limit: float, is_hurried: Callable[[float], bool]
) -> bool:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and not is_hurried(PAUSE_SECONDS):
        try:
            if processes.instance(instance).has_ended:
                return True
        except ProcosError as error:
            log.debug("farewell.not_seen", reason=str(error))
    return False


def _cut_short(transport: Transport, processes: Processes, instance: ProcessInstanceId) -> None:
    for _ in range(TRIES):
        try:
            processes.cancel(instance)
            throw_signal(transport, SHUTDOWN_SIGNAL)
        except ProcosError as error:
            log.warning("farewell.not_cut_short", reason=str(error))
        else:
            return


def _is_anybody_there(settings: Settings) -> bool:
    """Whether a bridge would fetch the step, and a worker take it, as far as can be told."""
    try:
        if not Registry(settings.redis).replicas():
            return False
        if not settings.broker.url.startswith("amqp"):
            return True  # a broker on Redis does not count who takes from a queue
        return bool(depths(settings.broker, [Queue.GENERIC])[Queue.GENERIC].consumers)
    except UnreachableError:
        return False
