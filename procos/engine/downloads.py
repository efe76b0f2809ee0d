"""An answer of any length, which comes as its reader asks for it.

A `Download` is driven by who reads it: libcurl works while a piece is wanted, and stops when enough is held. What the
reader leaves, the server keeps. Source: libcurl-multi(3), curl_multi_socket_action(3), CURLOPT_WRITEFUNCTION(3).
"""

from __future__ import annotations

import selectors
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pycurl

from procos.engine.handles import NO_SOCKET, Handle, Looking, has_ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.engine.answers import HttpAnswer, NoAnswerError
    from procos.engine.handles import Certificates, Request

PIECE = 256 * 1024
"""Bytes of a long answer that are held at most: a piece is what has come, up to that."""
LONGEST_WAIT = 1.0
"""Seconds after which libcurl is asked anyway, whatever its sockets do."""
EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class _Inbox:
    """What has come and was not read yet; asks libcurl to wait when it is full."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self.is_full = False

    def __call__(self, piece: bytes) -> int | None:
        if self._pieces and self._size + len(piece) > PIECE:
            self.is_full = True
            return int(pycurl.WRITEFUNC_PAUSE)  # libcurl keeps this one, and brings it again
        self._pieces.append(piece)
        self._size += len(piece)
        return None

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return taken


class _Sockets:
    """The sockets that libcurl waits for."""

    def __init__(self) -> None:
        self._awaited: dict[int, int] = {}
        self.last = NO_SOCKET

    def __call__(self, what: int, socket: int, _multi: object, _data: object) -> None:
        if what in EVENTS:
            self._awaited[socket] = EVENTS[what]
            self.last = socket
        else:
            self._awaited.pop(socket, None)

    def ready(self, seconds: float) -> list[int]:
        """Wait until some are ready, and return those."""
        with Looking() as selector:  # unlike curl_multi_fdset(3), for any number of open files
            for socket, events in self._awaited.items():
                selector.register(socket, events)
            return [key.fd for key, _ in selector.select(seconds)]


class Download:
    """Reads one long answer after the other over a connection of its own; for one thread at a time."""

    def __init__(self, certificates: Certificates | None) -> None:
        self._inbox, self._sockets = _Inbox(), _Sockets()
        self._handle = Handle(certificates, write=self._inbox)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._sockets)
        self._piece_limit = 0.0
        self.has_ended, self.has_failed = True, False

    @property
    def status(self) -> int:
        """Return the status of the answer that was begun."""
        return self._handle.status

    def is_over(self) -> bool:
        """Whether the server has closed the connection meanwhile; libcurl would send first, and learn it by that."""
        return has_ended(self._sockets.last)

    def begin(self, request: Request) -> None:
        """Send a request, whose limit is for each piece, and read until something of the body is there, or its end.

        Raises:
            NoAnswerError: there was no answer; the download is not to be used again.
        """
        self._handle.prepare(request)
        self.has_ended, self._piece_limit = False, request.limit
        self._multi.add_handle(self._handle.curl)
        self._advance()

    def pieces(self) -> Iterator[bytes]:
        """Read the rest of the body.

        Raises:
            NoAnswerError: it broke off, or nothing of it came within the limit of a piece.
        """
        while piece := self._inbox.take():
            yield piece
            self._advance()

    def answer(self) -> HttpAnswer:
        """Read all of the body; raises as `pieces` does."""
        return self._handle.answer(b"".join(self.pieces()))

    def leave(self) -> None:
        """Leave what has not been read, and where it has not come yet the connection with it."""
        if not self.has_ended:
            with suppress(pycurl.error):  # interrupted before it was there
                self._multi.remove_handle(self._handle.curl)
            self.has_ended = True
        self._inbox.take()

    def _advance(self) -> None:
        """Let libcurl work until something is held, or the answer has ended."""
        deadline = time.monotonic() + self._piece_limit
        if not self.has_ended:
            if self._inbox.is_full:
                self._inbox.is_full = False
                self._handle.curl.pause(pycurl.PAUSE_CONT)
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._conclude()
        while not self._inbox and not self.has_ended:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._failed(pycurl.E_OPERATION_TIMEDOUT, "")
            self._wait(left)
            self._conclude()

    def _wait(self, longest: float) -> None:
        timer = self._multi.timeout()  # in milliseconds, below zero where none is set
        seconds = min(longest, LONGEST_WAIT, timer / 1000 if timer >= 0 else LONGEST_WAIT)
        for socket in self._sockets.ready(seconds) or [pycurl.SOCKET_TIMEOUT]:
            self._multi.socket_action(socket, 0)

    def _conclude(self) -> None:
        """Note that the answer has ended, if it has."""
        _, ended, failed = self._multi.info_read()
        if ended or failed:
            self._multi.remove_handle(self._handle.curl)
            self.has_ended = True
        for _, code, text in failed:
            raise self._failed(code, text)

    def _failed(self, code: int, text: str) -> NoAnswerError:
        self.has_failed = True
        return self._handle.failure(code, text)
