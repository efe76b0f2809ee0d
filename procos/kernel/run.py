"""One run of a local stack in this process, from what an earlier one left behind to the last word about this one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.kernel.leftovers import end_leftovers_in
from procos.kernel.plan import make_plan
from procos.kernel.ports import Ports, is_free
from procos.kernel.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.kernel.plan import Plan
    from procos.kernel.stack import Failure
    from procos.kernel.state import StackFolder
    from procos.kernel.supervisor import Observer
    from procos.settings import Settings

SECOND_TRIES = 2


def run_stack(settings: Settings, *, folder: StackFolder, only: Sequence[str], observer: Observer) -> Failure | None:
    """Run the stack until it is asked to stop; return why it did not come up, if so. The folder's lock must be held.

    Raises:
        SettingsError: something a part needs is missing on this machine.
        UsageError: the choice of parts cannot work.
    """
    end_leftovers_in(folder)
    warnings: list[str] = []
    while True:
        with Ports() as ports:
            plan = make_plan(settings, folder=folder, ports=ports, only=only)
            supervisor = _supervisor(settings, plan, warnings, folder=folder, observer=observer)
            failure = supervisor.run()
        if failure is None or len(warnings) == SECOND_TRIES or not lost_its_port(plan, failure):
            break
        warnings.append(f"{failure.part}: another program took its port meanwhile; starting again")
    supervisor.conclude()
    return failure


def _supervisor(
    settings: Settings, plan: Plan, warnings: Sequence[str], *, folder: StackFolder, observer: Observer
) -> Supervisor:
    return Supervisor(
        replace(plan, warnings=(*plan.warnings, *warnings)),
        folder=folder,
        startup_limit=timedelta(seconds=settings.startup_timeout),
        health_interval=timedelta(seconds=settings.health_check_interval),
        observer=observer,
    )


def lost_its_port(plan: Plan, failure: Failure) -> bool:
    """Whether somebody else took the port of the part that failed after it was chosen; all has been stopped by now."""
    lost = next(part for part in plan.parts if part.name == failure.part)
    return any(not is_free(port) for port in (lost.port, *lost.inner_ports) if port is not None)
