"""Waits for a broker's socket and for other threads at once, without spinning.

A drain loop with a short timeout costs some percent of a core while idle; a poll with a wake-up pipe costs none.
"""

from __future__ import annotations

import math
import os
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from procos.queues import socket_of

if TYPE_CHECKING:
    import kombu

POLL_SECONDS = 0.2
"""How long one drain takes on a transport without a plain socket (Redis)."""


class Wakeup:
    """A pipe that any thread may write to."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def set(self) -> None:
        """End the wait of the thread that owns the connection, now or the next time it waits."""
        with suppress(BlockingIOError):  # a full pipe wakes just as well
            os.write(self._write, b"x")

    def wait(self, connection: kombu.Connection, seconds: float) -> None:
        """Deliver what arrives on the connection, until something did, `set` was called, or the time is up."""
        file = socket_of(connection)
        if file is None:
            self._wait_by_draining(connection, seconds)
            return
        if _has_read_ahead(connection):
            _drain(connection)
            seconds = 0.0  # something has arrived
        ready = _readable(seconds, self._read, file.fileno())
        self._clear()
        if file.fileno() in ready:
            _drain(connection)

    def _wait_by_draining(self, connection: kombu.Connection, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._clear() and (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                connection.drain_events(timeout=min(left, POLL_SECONDS))
                return

    def _clear(self) -> bool:
        with suppress(BlockingIOError):
            return bool(os.read(self._read, 4096))
        return False


def _has_read_ahead(connection: kombu.Connection) -> bool:
    """Whether something waits above the socket, where a selector cannot see it.

    TLS decrypts a whole record at a time, and the broker puts several messages into one.
    """
    transport = getattr(connection.connection, "transport", None)
    pending = getattr(getattr(transport, "sock", None), "pending", None)
    return bool(getattr(transport, "_read_buffer", b"")) or (pending is not None and pending() > 0)


def _drain(connection: kombu.Connection) -> None:
    """Handle every frame that is there, and those the transport has read ahead; never wait for more."""
    file = socket_of(connection)
    with suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=0.001)
            if not _has_read_ahead(connection) and (file is None or not _readable(0.0, file.fileno())):
                return


def _readable(seconds: float, *files: int) -> set[int]:
    """Wait until one of them can be read, and return those that can; no descriptor is opened for it."""
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return {file for file, _ in poll.poll(math.ceil(1000 * seconds))}
