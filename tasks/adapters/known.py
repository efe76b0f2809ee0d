"""The adapters there are: those built in, and those of installed packages.

A package adds its own by the entry point group `procos.adapters`: each entry names a subclass of `Adapter`.
"""

from __future__ import annotations

import difflib
import inspect
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from procos.domain.errors import PermanentError, SettingsError
from procos.packages import ADAPTERS as GROUP
from procos.packages import described, loaded, package_of
from tasks.adapters.adapter import Adapter, Connection

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT_IN: Mapping[str, str] = {
    "database": "tasks.adapters.database.adapter:Database",
    "email": "tasks.adapters.email.adapter:Email",
    "files": "tasks.adapters.files.adapter:Files",
    "github": "tasks.adapters.github.adapter:GitHub",
    "http": "tasks.adapters.http.adapter:Http",
    "slack": "tasks.adapters.slack.adapter:Slack",
}
"""Name of the adapter to where its class is: `module:Class`. Named, not imported: their libraries are large."""
INVALID = "CONNECTION_INVALID"


@cache
def adapters() -> Mapping[str, type[Adapter]]:
    """Return all adapters by name.

    Raises:
        SettingsError: an entry point cannot be loaded or is no adapter, or its name is taken.
    """
    found = {name: _loaded(place) for name, place in BUILT_IN.items()}
    for entry in entry_points(group=GROUP):
        added = loaded(entry, GROUP)
        if fault := _fault_of(added):
            raise SettingsError([f"{described(entry, GROUP)} {fault}"])
        if added.name in found:
            raise SettingsError([f"{described(entry, GROUP)}: there is an adapter {added.name!r} already"])
        found[added.name] = added
    return MappingProxyType(found)


def source_of(adapter: str) -> str:
    """Return the package an adapter is from."""
    if adapter in BUILT_IN:
        return "procos"
    return next(package_of(entry) for entry in entry_points(group=GROUP) if loaded(entry, GROUP).name == adapter)


def adapter_of(connection: str, kind: object) -> type[Adapter]:
    """Return the adapter of a connection by the `type` it states; of those built in, no other is imported.

    Raises:
        PermanentError: CONNECTION_INVALID, where it states none, or one there is not.
    """
    if isinstance(kind, str) and kind in BUILT_IN:
        return _loaded(BUILT_IN[kind])
    if isinstance(kind, str) and kind in adapters():
        return adapters()[kind]
    known = ", ".join(sorted(adapters())) or "none: no package adds an adapter"
    near = difflib.get_close_matches(str(kind), adapters(), n=1) if kind else []
    what = "has no type" if kind is None else "has a type there is no adapter for"
    hint = f"; did you mean {near[0]}?" if near else ""
    raise PermanentError(f"connection {connection!r} {what}; expected one of {known}{hint}", code=INVALID)


def _fault_of(added: object) -> str:
    """Say why what an entry point names is not one that could serve; empty where it is."""
    if not (isinstance(added, type) and issubclass(added, Adapter)):
        return "is no subclass of Adapter"
    if missing := [name for name in ("name", "connection") if not hasattr(added, name)]:
        return f"has no {' and no '.join(missing)}"
    connection: Any = added.connection
    if not (isinstance(connection, type) and issubclass(connection, Connection)):
        return "has a connection that is no subclass of Connection"
    return "leaves health_check out" if inspect.isabstract(added) else ""


def _loaded(place: str) -> type[Adapter]:
    module, _, name = place.partition(":")
    found: type[Adapter] = getattr(import_module(module), name)
    return found
