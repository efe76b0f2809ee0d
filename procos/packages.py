"""What installed packages add to ProcOS by entry points, and what is said of one that cannot be used.

| group | each entry names | is read by |
|---|---|---|
| `procos.routes` | a mapping from topic to `Route` | `procos.routes`, so by bridge, workers and commands |
| `procos.adapters` | a subclass of `Adapter` | `tasks.adapters.known`, where a step or `procos doctor` needs it |
| `procos.tasks` | a module | `procos.task_modules`, when a worker starts |

A package is a stranger's code: whatever goes wrong while it is imported becomes an error that names the package,
`sys.exit` too, which would end a part without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procos.domain.errors import SettingsError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ROUTES, ADAPTERS, TASKS = "procos.routes", "procos.adapters", "procos.tasks"
UNKNOWN = "a package without metadata"
LONGEST_REASON = 300
"""Characters of what an import has said."""


def package_of(entry: EntryPoint) -> str:
    """Return the name of the package that an entry point is of, as `pip list` has it."""
    package = getattr(entry, "dist", None)
    return package.name if package else UNKNOWN


def described(entry: EntryPoint, group: str) -> str:
    """Name an entry point and its package, as the first words of an error."""
    return f"{package_of(entry)}: entry point {entry.name!r} of {group}"


def loaded(entry: EntryPoint, group: str) -> Any:
    """Return what an entry point names.

    Raises:
        SettingsError: it cannot be imported, or is not there; names entry point and package.
    """
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises while it is imported
        raise SettingsError([f"{described(entry, group)} cannot be loaded: {reason(error)}"]) from error


def reason(error: BaseException) -> str:
    """Say what an import has failed with."""
    return f"{type(error).__name__}: {error}"[:LONGEST_REASON]
