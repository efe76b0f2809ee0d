"""The farewell: `procos_system_shutdown` runs to its end while everything is still there, within a limit.

It drains what is under way and ends the orchestrator. Where nobody would run its steps it is not made to wait for them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.registry import Registry
from procos.domain.errors import ProcosError
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.logs import get_logger
from procos.shipped import SHUTDOWN

if TYPE_CHECKING:
    import threading

    from procos.settings import Settings

PAUSE_SECONDS = 0.1
DRAINS = "drain"
"""The variable that says whether there is a bridge, so that steps are run."""

log = get_logger(__name__)


def take_leave(settings: Settings, hurry: threading.Event) -> str:
    """Start the process and wait for its end, as long as the settings say; returns in words what came of it.

    One that does not end in time, or is hurried, is deleted: it would else shut down the system that comes after us.
    """
    processes, limit = Processes(Transport(settings.engine)), settings.kernel.farewell_limit
    try:
        drains = bool(Registry(settings.redis).replicas())
        instance = processes.start(SHUTDOWN, {DRAINS: drains})
        deadline = time.monotonic() + limit
        while not processes.instance(instance).has_ended:
            if time.monotonic() >= deadline or hurry.wait(PAUSE_SECONDS):
                processes.cancel(instance)
                return f"{SHUTDOWN} did not end within {limit:g} s and was deleted"
    except ProcosError as error:
        log.warning("farewell.failed", reason=str(error))
        return f"{SHUTDOWN} could not be run: {error}"
    return f"{SHUTDOWN} has ended"
