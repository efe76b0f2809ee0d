"""The kernel as the engine's part of a local stack: it starts the engine, and is what the supervisor watches."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.kernel.boot.course import CALLS_LIMIT
from procos.kernel.part import Command
from procos.kernel.parts.environment import own_environment, python
from procos.kernel.ports import LOOPBACK
from procos.kernel.probes import AllOf, HttpProbe

if TYPE_CHECKING:
    from procos.kernel.part import Part
    from procos.kernel.parts.programs import Surroundings
    from procos.kernel.ports import Ports

LOG = "kernel"
MARGIN = timedelta(seconds=10)
ENGINE_URL = "PROCOS_ENGINE_URL"
ANY_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with, never bound to


def kernel_part(engine: Part, around: Surroundings, *, ports: Ports) -> Part:
    """Put the kernel in the place of the engine it starts.

    The supervisor takes leave of the system while all its parts are there, so the kernel does not.
    """
    settings = around.settings
    port = ports.choose(settings.kernel.health_port) if settings.kernel.health_port else 0
    ready = (HttpProbe(url=f"http://{_host(settings.kernel.health_address)}:{port}/readyz"),) if port else ()
    told = {
        "PROCOS_ENGINE_PORT": str(engine.port),
        "PROCOS_KERNEL_HEALTH_PORT": str(port),
        "PROCOS_KERNEL_FAREWELL": "false",
        # They come up beside it, and the engine takes longest.
        "PROCOS_KERNEL_SERVICES_FIRST": "false",
        "PROCOS_KERNEL_PATIENCE": str(settings.startup_timeout),
    }
    # Told where the engine is, the kernel would attach to it.
    services = {name: value for name, value in around.provided.items() if name != ENGINE_URL}

    def launch(built: str) -> Command:
        jar = {"PROCOS_ENGINE_JAR": built} if built else {}
        return Command(
            arguments=python("procos", "kernel"),
            environment=own_environment({**services, **told, **jar}),
            directory=around.directory,
        )

    return replace(
        engine,
        probe=AllOf(probes=(*ready, engine.probe)),
        port=port or None,
        inner_ports=(engine.port,) if engine.port else (),
        launch=launch,
        grace=engine.grace + MARGIN,
        starting_grace=engine.grace + MARGIN,
        # It waits for its services, then for the engine, and may meet one that is busy with models and orchestrator.
        startup_limit=2 * timedelta(seconds=settings.startup_timeout) + 3 * CALLS_LIMIT,
        log=LOG,
        is_ours=True,
    )


def _host(address: str) -> str:
    if address in ANY_ADDRESSES:
        return LOOPBACK
    return f"[{address}]" if ":" in address else address
