"""The adapters there are: those built in, and those of installed packages.

A package adds its own by the entry point group `procos.adapters`: each entry names a subclass of `Adapter`.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError, SettingsError
from tasks.adapters.adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT_IN: Mapping[str, str] = {
    "email": "tasks.adapters.email.adapter:Email",
}
"""Name of the adapter to where its class is: `module:Class`. Named, not imported: their libraries are large."""
INVALID = "CONNECTION_INVALID"


@cache
def adapters() -> Mapping[str, type[Adapter]]:
    """Return all adapters by name.

    Raises:
        SettingsError: an entry point is no adapter, or its name is taken.
    """
    found = {name: _loaded(place) for name, place in BUILT_IN.items()}
    for entry in entry_points(group="procos.adapters"):
        added = entry.load()
        if not (isinstance(added, type) and issubclass(added, Adapter)):
            raise SettingsError([f"entry point {entry.name!r} of procos.adapters is no subclass of Adapter"])
        if added.name in found:
            raise SettingsError([f"entry point {entry.name!r}: there is an adapter {added.name!r} already"])
        found[added.name] = added
    return MappingProxyType(found)


def adapter_of(connection: str, kind: object) -> type[Adapter]:
    """Return the adapter of a connection by the `type` it states.

    Raises:
        PermanentError: CONNECTION_INVALID, where it states none, or one there is not.
    """
    if isinstance(kind, str) and kind in adapters():
        return adapters()[kind]
    known = ", ".join(sorted(adapters()))
    near = difflib.get_close_matches(str(kind), adapters(), n=1) if kind else []
    what = "has no type" if kind is None else "has a type there is no adapter for"
    hint = f"; did you mean {near[0]}?" if near else ""
    raise PermanentError(f"connection {connection!r} {what}; expected one of {known}{hint}", code=INVALID)


def _loaded(place: str) -> type[Adapter]:
    module, _, name = place.partition(":")
    found: type[Adapter] = getattr(import_module(module), name)
    return found
