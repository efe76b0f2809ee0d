"""Chooses ports on the loopback interface: the usual one when it is free, else any free one.

A server takes seconds from the choice of its port until it listens. For so long two stacks that start at the same time
would choose the same ports, so each holds its choices where the other looks: at the UDP port of the same number, which
nobody uses and the system gives back when we end.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing
from typing import Self

LOOPBACK = "127.0.0.1"


class Ports:
    """The ports chosen for one stack; none is given out twice, and none to another stack while the context lasts."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._held: ExitStack | None = None

    def __enter__(self) -> Self:
        self._held = ExitStack()
        return self

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.close()

    def choose(self, usual: int | None = None) -> int:
        """Return the usual port when nobody uses it, else a free one."""
        if usual is not None and self._claim(usual):
            return usual
        while not self._claim(port := _ask_system()):
            pass
        return port

    def _claim(self, port: int) -> bool:
        if port in self._taken or not is_free(port) or not self._hold(port):
            return False
        self._taken.add(port)
        return True

    def _hold(self, port: int) -> bool:
        if self._held is None:
            return True
        token = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            token.bind((LOOPBACK, port))
        except OSError:
            token.close()
            return False
        self._held.enter_context(closing(token))
        return True


class GivenPorts(Ports):
    """Takes the ports it is asked for, whether they are free or not: others know them by now."""

    def choose(self, usual: int | None = None) -> int:
        """Return the usual port, or any where there is none."""
        return usual if usual is not None else super().choose()


def is_free(port: int, address: str = LOOPBACK) -> bool:
    """Whether a server could listen on this port; of the loopback interface, where nothing else is said."""
    with closing(_listener()) as listener:
        try:
            listener.bind((address, port))
        except OSError:
            return False
        return True


def moved(usual: int, port: int) -> str:
    """Say that a part does not listen where people look first, or nothing when it does."""
    return "" if port == usual else f"port {usual} is taken"


def _ask_system() -> int:
    with closing(_listener()) as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def _listener() -> socket.socket:
    candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: connections of the last run that linger in TIME_WAIT do not make a port count as taken.
    candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return candidate
