"""The processes that come with ProcOS: where they are, and which of them make the system.

They stand beside its packages, in a checkout and in an installed wheel alike.
"""

from __future__ import annotations

from pathlib import Path

ORCHESTRATOR = "procos_system_orchestrator"
SHUTDOWN = "procos_system_shutdown"
USER_REQUEST = "procos_user_request"
SHUTDOWN_SIGNAL = "SystemShutdown"
"""The BPMN signal that ends the orchestrator."""
SYSTEM_PROCESSES = (ORCHESTRATOR, SHUTDOWN, USER_REQUEST)


def shipped_processes() -> Path:
    """Return the folder of the shipped processes, one folder each with its `model.bpmn`."""
    return Path(__file__).resolve().parents[1] / "processes"
