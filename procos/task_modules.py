"""The modules a worker imports when it starts: those the routes name, and those that packages add beside them.

A package adds modules by the entry point group `procos.tasks`: for plain Celery tasks, and for signals of its workers.
`Loader` is Celery's loader with words for what goes wrong: a worker that cannot import one of its modules ends with
exit code 2 and says whose module it is, since it would serve some topics and turn away the steps of others.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import click
from celery.loaders.app import AppLoader

from procos.domain.errors import SettingsError
from procos.packages import TASKS, described, reason
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Mapping


def task_modules() -> Mapping[str, str]:
    """Return the modules to import, and who names each."""
    of_packages = {entry.value: described(entry, TASKS) for entry in entry_points(group=TASKS)}
    of_routes = {route.module: f"{route.source}: the route of {topic}" for topic, route in sorted(routes().items())}
    return dict(sorted({**of_packages, **of_routes}.items()))


class Loader(AppLoader):
    """Celery's loader; named by the app."""

    def init_worker(self) -> None:
        """Import what this worker is to serve, before it takes anything.

        Raises:
            click.UsageError: a module cannot be imported. Celery's command line ends with exit code 2 for it.
        """
        try:
            super().init_worker()
        except SettingsError as error:
            raise click.UsageError(str(error)) from error

    def import_default_modules(self) -> list[Any]:
        """Import every module of the tasks.

        Raises:
            SettingsError: some cannot be imported; each is named with who names it.
        """
        named, problems = task_modules(), list[str]()
        for module in named:
            try:
                self.import_task_module(module)
            except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a stranger's module raises while it is imported
                problems.append(f"{named[module]} names {module!r}, which cannot be imported: {reason(error)}")
        if problems:
            raise SettingsError(problems)
        return super().import_default_modules()
