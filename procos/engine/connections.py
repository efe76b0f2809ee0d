"""Keep-alive connections to one server, shared by threads; every call with a limit, no proxy of the environment used.

On urllib3's pool itself: what `requests` adds to a call costs more CPU than the call (docs/adr/0026). A call without an
answer speaks against every connection there is: whatever stands between us and the server may have dropped them all,
and each would take its own time to be found out. So the next call opens another; those under way keep theirs.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import urllib3

from procos import __version__
from procos.engine.reasons import CONNECT_TIMEOUT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

MOST_KEPT = 128
"""Connections that are kept while nobody uses them: more than a bridge has threads that call."""
OK, REDIRECTED = 200, 300
AGENT = f"procos/{__version__}"
NOT_JSON = object()


class Connections:
    """The connections to the server of an address; may be shared by threads."""

    def __init__(self, address: str, *, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        self._address, self._timeout, self._tls = address, timeout, tls
        self.path = urlsplit(address).path
        self._pool = self._fresh()

    def call(
        self, method: str, target: str, *, body: bytes | None = None, headers: Mapping[str, str], wait: float = 0.0,
        whole: bool = True,
    ) -> urllib3.BaseHTTPResponse:  # fmt: skip
        """Send a request and read the answer, the whole of it if `whole`.

        `target` is path and query, `wait` is added to the timeout.

        Raises:
            urllib3.exceptions.HTTPError: there was no answer, or not all of it.
        """
        pool, timeout = self._pool, urllib3.Timeout(connect=CONNECT_TIMEOUT, read=self._timeout + wait)
        try:
            return pool.urlopen(
                method, target, body=body, headers={"User-Agent": AGENT, **headers}, timeout=timeout,
                retries=False, redirect=False, preload_content=whole,
            )  # fmt: skip
        except urllib3.exceptions.HTTPError:
            if self._pool is pool:
                self._pool = self._fresh()
            raise

    def _fresh(self) -> urllib3.HTTPConnectionPool:
        secured = {"ssl_context": self._tls} if self._tls else {}
        return urllib3.connection_from_url(self._address, maxsize=MOST_KEPT, **secured)


def basic(user: str, password: str) -> str:
    """Write user and password for the header Authorization; in UTF-8, since that is what engines decode."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def is_success(status: int) -> bool:
    """Whether a status says that the server did what it was asked; a redirect leads to where nobody knows us."""
    return OK <= status < REDIRECTED


def json_in(answer: urllib3.BaseHTTPResponse) -> object:
    """Return the JSON of an answer, NOT_JSON where there is none: a proxy's page, or brackets without end."""
    try:
        return json.loads(answer.data)
    except (ValueError, RecursionError):
        return NOT_JSON
