"""Keep-alive connections to one server, shared by threads; every call with a limit, no proxy of the environment used.

On libcurl, which costs a fifth of the CPU of the same call in Python (docs/adr/0035). A call without an answer speaks
against every connection there is: whatever stands between us and the server may have dropped them all, and each would
take its own time to be found out. So the next call opens another; those under way keep theirs.
"""

from __future__ import annotations

import base64
import json
import os
import string
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from procos.engine.answers import NoAnswerError
from procos.engine.downloads import Download
from procos.engine.handles import Handle, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from procos.engine.answers import HttpAnswer
    from procos.engine.handles import Certificates

MOST_KEPT = 128
"""Connections that are kept while nobody uses them: more than a bridge has threads that call."""
OK, REDIRECTED = 200, 300
NOT_JSON = object()


@dataclass(slots=True)
class _Kept:
    """What this process has and nobody uses at the moment; the youngest is taken first."""

    process: int = field(default_factory=os.getpid)
    handles: list[Handle] = field(default_factory=list)
    downloads: list[Download] = field(default_factory=list)

    def handle(self, certificates: Certificates | None) -> Handle:
        with suppress(IndexError):  # another thread may have taken the last one
            while True:
                handle = self.handles.pop()
                if not handle.is_over():
                    return handle
        return Handle(certificates)

    def download(self, certificates: Certificates | None) -> Download:
        with suppress(IndexError):
            while True:
                download = self.downloads.pop()
                if not download.is_over():
                    return download
        return Download(certificates)


_inherited: list[_Kept] = []
"""What a fork has left us. To close one would end a TLS connection in the middle of the parent's calls."""


class Connections:
    """The connections to the server of an address; may be shared by threads."""

    def __init__(self, address: str, *, timeout: float, certificates: Certificates | None = None) -> None:
        parts = urlsplit(address)
        self._root = f"{parts.scheme}://{_host(parts.netloc.rpartition('@')[2])}"
        self._timeout, self._certificates = timeout, certificates
        self.path = target_of(address).partition("?")[0] if parts.path else ""
        self._kept = _Kept()

    def call(
        self, method: str, target: str, *, body: bytes | None = None, headers: Mapping[str, str], wait: float = 0.0,
        with_headers: bool = True,
    ) -> HttpAnswer:  # fmt: skip
        """Send a request, once, and read the answer; its headers too, unless nobody wants them: each line costs CPU.

        `target` is path and query, `wait` is added to the timeout, which is for all of it.

        Raises:
            NoAnswerError: there was no answer, or not all of it.
        """
        request = Request(
            method=method, url=self._root + target, headers=headers, body=body, limit=self._timeout + wait,
            with_headers=with_headers,
        )  # fmt: skip
        if threading.current_thread() is threading.main_thread():
            # Here signals arrive, Ctrl+C and the time limits of Celery's processes, and Python code alone hears them.
            with self._reading(request) as download:
                return download.answer()
        kept = self._own()
        handle = kept.handle(self._certificates)
        try:
            answer = handle.call(request)
        except NoAnswerError:
            self._distrust(kept)
            raise
        if len(kept.handles) < MOST_KEPT:
            kept.handles.append(handle)
        return answer

    @contextmanager
    def download(self, target: str, *, headers: Mapping[str, str]) -> Iterator[Download]:
        """Read something long, as fast as the reader asks for it; the timeout is for each piece of it.

        Raises:
            NoAnswerError: there was no answer, or not all of it.
        """
        request = Request(
            method="GET", url=self._root + target, headers=headers, body=None, limit=self._timeout,
            in_pieces=True, with_headers=False,
        )  # fmt: skip
        with self._reading(request) as download:
            yield download

    @contextmanager
    def _reading(self, request: Request) -> Iterator[Download]:
        kept = self._own()
        download = kept.download(self._certificates)
        try:
            download.begin(request)
            yield download
        finally:
            came_whole = download.has_ended
            download.leave()
            if download.has_failed:
                self._distrust(kept)
            elif came_whole and len(kept.downloads) < MOST_KEPT:
                kept.downloads.append(download)

    def _own(self) -> _Kept:
        """Return what is kept, without what the process had before it was forked."""
        kept = self._kept
        if kept.process != os.getpid():
            _inherited.append(kept)
            kept = self._kept = _Kept()
        return kept

    def _distrust(self, kept: _Kept) -> None:
        if self._kept is kept:
            self._kept = _Kept()


def target_of(address: str) -> str:
    """Return path and query of an address as they travel; what is percent-encoded already stays so."""
    parts = urlsplit(address)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return quote(target, safe=string.punctuation)


def _host(named: str) -> str:
    """Return host and port as they travel; a name that is none leads nowhere, and is said to."""
    try:
        return named if named.isascii() else named.encode("idna").decode()
    except UnicodeError:
        return quote(named)


def basic(user: str, password: str) -> str:
    """Write user and password for the header Authorization; in UTF-8, since that is what engines decode."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def is_success(status: int) -> bool:
    """Whether a status says that the server did what it was asked; a redirect leads to where nobody knows us."""
    return OK <= status < REDIRECTED


def json_in(body: bytes) -> object:
    """Return the JSON of an answer's body, NOT_JSON where there is none: a proxy's page, or brackets without end."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return NOT_JSON
