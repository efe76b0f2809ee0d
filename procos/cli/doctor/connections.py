"""Looks at every connection: is it of a known type, has it what its adapter needs, and does its service let us in?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.cli.doctor.findings import Finding, Health
from tasks.adapters.health import State, looks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import Settings
    from tasks.adapters.health import Look

HEALTH = {
    State.WELL: Health.GOOD,
    State.UNTYPED: Health.GOOD,
    State.WRONG: Health.BAD,
    State.AWAY: Health.UNREACHABLE,
}
CURES = {
    State.WRONG: "mend the connection, or what it leads to; `procos adapters` shows the types and their fields",
    State.AWAY: "start the service, or mend its address; steps that name it are tried again meanwhile",
}


def connection_findings(chosen: Settings) -> Iterator[Finding]:
    """Look at all of them side by side, each for a few seconds."""
    for look in looks(chosen):
        yield Finding(check="connection", health=HEALTH[look.state], text=_told(look), cure=CURES.get(look.state, ""))


def _told(look: Look) -> str:
    """Name the connection, unless what was found does so itself."""
    if look.detail.startswith(f"connection {look.connection!r}"):
        return look.detail
    return f"{look.connection}{f' ({look.type})' if look.type else ''}: {look.detail}"
