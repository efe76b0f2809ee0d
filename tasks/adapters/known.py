"""The adapters there are: those built in, and those of installed packages.

A package adds its own by the entry point group `procos.adapters`: each entry names a subclass of `Adapter`, and is
called as the adapter is, so that one is found without importing the others. One that cannot serve stops nobody else's.
"""

from __future__ import annotations

import difflib
import inspect
from contextlib import suppress
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
    from collections.abc import Mapping, Sequence
    from importlib.metadata import EntryPoint

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


def names() -> list[str]:
    """Return the names of all adapters, of those too that turn out not to serve; nothing is imported."""
    return sorted({*BUILT_IN, *entries()})


def adapters() -> Mapping[str, type[Adapter]]:
    """Return the adapters that can serve, by name; `faults` says which others there should be."""
    found = {name: _loaded(place) for name, place in BUILT_IN.items()}
    for name in entries().keys() - BUILT_IN.keys():
        with suppress(SettingsError):  # the adapters of other packages serve all the same
            found[name] = adapter_named(name)
    return MappingProxyType(found)


def faults() -> list[str]:
    """Return a line for each entry point whose adapter cannot serve; it names the package."""
    return [fault for name in sorted(entries()) for fault in _faults_of(name)]


def adapter_named(name: str) -> type[Adapter]:
    """Return the adapter of one of `names`, and import no other.

    Raises:
        SettingsError: a package adds it, and it cannot serve; names entry point and package.
    """
    if name in BUILT_IN:
        return _loaded(BUILT_IN[name])
    first, *others = entries()[name]
    if others:
        raise SettingsError(
            [f"{described(each, GROUP)}: several packages add it, so none serves" for each in entries()[name]]
        )
    added = loaded(first, GROUP)
    if fault := _fault_of(added, name):
        raise SettingsError([f"{described(first, GROUP)} {fault}"])
    found: type[Adapter] = added
    return found


def source_of(adapter: str) -> str:
    """Return the package an adapter is from."""
    return "procos" if adapter in BUILT_IN else package_of(entries()[adapter][0])


def adapter_of(connection: str, kind: object) -> type[Adapter]:
    """Return the adapter of a connection by the `type` it states; no other is imported.

    Raises:
        PermanentError: CONNECTION_INVALID, where it states none, or one there is not, or one that cannot serve.
    """
    if isinstance(kind, str) and kind in names():
        try:
            return adapter_named(kind)
        except SettingsError as error:
            raise PermanentError(
                f"the adapter of connection {connection!r} cannot serve: {error}", code=INVALID
            ) from error
    known = ", ".join(names()) or "none: no package adds an adapter"
    near = difflib.get_close_matches(str(kind), names(), n=1) if kind else []
    what = "has no type" if kind is None else "has a type there is no adapter for"
    hint = f"; did you mean {near[0]}?" if near else ""
    raise PermanentError(f"connection {connection!r} {what}; expected one of {known}{hint}", code=INVALID)


@cache
def entries() -> Mapping[str, Sequence[EntryPoint]]:
    """Return the entry points of installed packages, by the name of the adapter they add."""
    named: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        named.setdefault(entry.name, []).append(entry)
    return MappingProxyType(named)


def _faults_of(name: str) -> Sequence[str]:
    """Say why the adapters that packages add by a name cannot serve."""
    if name in BUILT_IN:
        return [f"{described(entry, GROUP)}: there is an adapter {name!r} already" for entry in entries()[name]]
    try:
        adapter_named(name)
    except SettingsError as error:
        return error.problems
    return ()


def _fault_of(added: object, name: str) -> str:
    """Say why what the entry point of a name leads to could not serve; empty where it could."""
    if not (isinstance(added, type) and issubclass(added, Adapter)):
        return "is no subclass of Adapter"
    if missing := [each for each in ("name", "connection") if not hasattr(added, each)]:
        return f"has no {' and no '.join(missing)}"
    if added.name != name:
        return f"names an adapter that calls itself {added.name!r}; both must be called the same"
    connection: Any = added.connection
    if not (isinstance(connection, type) and issubclass(connection, Connection)):
        return "has a connection that is no subclass of Connection"
    return "leaves health_check out" if inspect.isabstract(added) else ""


def _loaded(place: str) -> type[Adapter]:
    module, _, name = place.partition(":")
    found: type[Adapter] = getattr(import_module(module), name)
    return found
