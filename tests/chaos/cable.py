"""Another host, as far as the network goes: a network namespace with one cable to this machine, which can be cut.

A cut cable loses every packet both ways and says nothing to anybody, as a host does that loses its power.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

IP = shutil.which("ip") or "/usr/sbin/ip"
COMMAND_SECONDS = 10.0
LARGEST_OCTET = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The other host: what runs there, and where it finds this machine."""

    name: str
    ours: str
    """This machine's address on the cable."""
    theirs: str
    cable: str
    """Our end of the cable."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """What stands before a command that is to run there."""
        return (IP, "netns", "exec", self.name)

    def cut(self) -> None:
        """Let nothing through the cable any more."""
        _ip("link", "set", self.cable, "down")


@contextmanager
def another_host() -> Iterator[Host]:
    """Make the host for the length of the block.

    Raises:
        RuntimeError: it cannot be made here; says why.
    """
    host = _named(os.getpid())
    far = f"{host.cable}x"
    _ip("netns", "add", host.name)
    try:
        _ip("link", "add", host.cable, "type", "veth", "peer", "name", far, "netns", host.name)
        _ip("addr", "add", f"{host.ours}/30", "dev", host.cable)
        _ip("link", "set", host.cable, "up")
        _ip("-n", host.name, "addr", "add", f"{host.theirs}/30", "dev", far)
        _ip("-n", host.name, "link", "set", far, "up")
        _ip("-n", host.name, "link", "set", "lo", "up")
        yield host
    finally:
        # The cable goes first, with our end: the namespace itself lives until its last process has ended.
        for arguments in (("link", "delete", host.cable), ("netns", "delete", host.name)):
            with suppress(RuntimeError):
                _ip(*arguments)


def _named(number: int) -> Host:
    """Choose names and addresses no other run on this machine is likely to have."""
    network = f"10.214.{number % LARGEST_OCTET}"
    name = f"pchaos{number % 10_000_000}"
    return Host(name=name, ours=f"{network}.1", theirs=f"{network}.2", cable=name)


def _ip(*arguments: str) -> None:
    said = "the program is not installed: apt-get install iproute2"
    with suppress(FileNotFoundError):
        done = subprocess.run(
            [IP, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
        if done.returncode == 0:
            return
        said = done.stderr.decode(errors="replace").strip()
    raise RuntimeError(
        f"no second host on this machine, `ip {' '.join(arguments)}` failed: {said}. "
        "It takes root and a kernel that permits network namespaces"
    )
