"""Chooses ports on the loopback interface: the usual one when it is free, else any free one."""

from __future__ import annotations

import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"


class Ports:
    """The ports chosen for one stack; none is given out twice."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def choose(self, usual: int | None = None) -> int:
        """Return the usual port when nobody uses it, else a free one."""
        port = usual if usual is not None and usual not in self._taken and is_free(usual) else self._any()
        self._taken.add(port)
        return port

    def _any(self) -> int:
        while (port := _ask_system()) in self._taken:
            pass
        return port


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface."""
    with closing(_socket()) as listener:
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def moved(usual: int, port: int) -> str:
    """Say that a part does not listen where people look first, or nothing when it does."""
    return "" if port == usual else f"port {usual} is taken"


def _ask_system() -> int:
    with closing(_socket()) as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def _socket() -> socket.socket:
    candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: connections of the last run that linger in TIME_WAIT do not make a port count as taken.
    candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return candidate
