"""Reaches services: a socket to one of the addresses a name has, and whom to trust at the other end of it."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError
from tasks.adapters.known import INVALID

if TYPE_CHECKING:
    from pathlib import Path


def reached(host: str, port: int, *, until: float) -> socket.socket:
    """Connect to a host; one moment of the monotonic clock is the end for all of its addresses.

    Each address gets its share of what is left, so that one that swallows everything leaves time for the next. How
    long the system takes to look up a name is not bounded here.

    Raises:
        OSError: there is no such name, or none of its addresses answers in time.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = TimeoutError("timed out")
    for place, (family, kind, protocol, _, address) in enumerate(found):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        stream = socket.socket(family, kind, protocol)
        try:
            stream.settimeout(left / (len(found) - place))
            stream.connect(address)
        except OSError as error:
            stream.close()
            failure = error
        else:
            stream.settimeout(max(until - time.monotonic(), 0.001))
            return stream
    raise failure


def authorities(ca_file: Path | str | None) -> ssl.SSLContext:
    """Trust the authorities of the system, or those of a file alone, as it is now.

    Raises:
        PermanentError: CONNECTION_INVALID, where the file is missing or holds none.
    """
    if ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one, and quotes nothing of the file
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise PermanentError(f"ca_file {ca_file} of a connection cannot be used: {why}", code=INVALID) from None
