"""Looks at what installed packages add: are their topics served, and can their modules be imported?"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from itertools import chain
from typing import TYPE_CHECKING

from procos.cli.doctor.findings import Finding, Health
from procos.packages import TASKS, package_of, reason
from procos.route import OURS
from procos.routes import routes
from procos.task_modules import task_modules
from tasks.adapters.known import adapters, faults, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import Settings

CURE = "mend the package, or uninstall it, on the hosts of bridge and workers"


def package_findings(_: Settings) -> Iterator[Finding]:
    """Say what each package adds, and what of it would fail in a worker.

    Raises:
        SettingsError: the table of routes cannot be made.
    """
    is_well = True
    for text in chain(faults(), _faults_of_modules()):
        is_well = False
        yield Finding(check="packages", health=Health.BAD, text=text, cure=CURE)
    if is_well:
        for package, things in sorted(_added().items()):
            yield Finding(check="packages", health=Health.GOOD, text=f"{package}: {', '.join(things)}")


def _faults_of_modules() -> Iterator[str]:
    """Import what workers would, and look whether every topic has got its task."""
    from procos.app import app  # it needs the routes; where a package's are broken, doctor must start all the same

    ours = {route.module for route in routes().values() if route.source == OURS}
    broken = set()
    for module, named_by in task_modules().items():
        if module in ours:
            continue
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a stranger's module raises while it is imported
            broken.add(module)
            yield f"{named_by} names {module!r}, which cannot be imported: {reason(error)}"
    for topic, route in sorted(routes().items()):
        if route.source != OURS and route.module not in broken and route.task_name not in app.tasks:
            yield f"{route.source}: {route.module!r} registers no task {route.task_name!r} for topic {topic}"


def _added() -> dict[str, list[str]]:
    added: dict[str, list[str]] = {}
    for topic, route in sorted(routes().items()):
        if route.source != OURS:
            added.setdefault(route.source, []).append(f"topic {topic} on queue {route.queue}")
    for name in sorted(adapters()):
        if (source := source_of(name)) != OURS:
            added.setdefault(source, []).append(f"adapter {name}")
    for entry in entry_points(group=TASKS):
        added.setdefault(package_of(entry), []).append(f"module {entry.value}")
    return added
