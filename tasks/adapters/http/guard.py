"""Where requests may go: to public addresses, and to those an operator has allowed for a connection.

A name is looked up once, all its addresses are checked, and the connection is made to the first, so no second answer of
a name server can lead elsewhere; TLS is still spoken with the name. The others are not tried, since the library hands
out one alone. The list of addresses and the check are microsoft-antissrf's. This module is all that knows of it:
another library takes its place where `Guard` keeps what tests/tasks/hostile/test_http_guard.py asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from AntiSSRF import AntiSSRFError, AntiSSRFPolicy, PolicyConfigOptions
from requests import PreparedRequest
from requests.structures import CaseInsensitiveDict

from tasks.adapters.http.wire import POOLS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from urllib3 import HTTPConnectionPool

MOST_HOSTS, MOST_CONNECTIONS = 32, 16
"""Hosts whose connections are kept, and idle connections to each; a worker has as many threads by default."""
ALSO_DENIED = ("::/96", "::ffff:0:0:0/96")
"""IPv4 in IPv6 in two ways that were given up (RFC 4291, section 2.5.5.1; RFC 2765), which the library leaves out."""


class Denied(Exception):  # noqa: N818  # what happened, and never left to a caller
    """Raised when a host has an address that is not allowed."""


class Guard:
    """Hands out connections to checked addresses; may be shared by threads."""

    def __init__(self, allowed: Sequence[str], tls: ssl.SSLContext) -> None:
        policy = AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST)
        policy.add_denied_addresses(list(ALSO_DENIED))
        if allowed:
            policy.add_allowed_addresses(list(allowed))
        policy.allow_plain_text_http = True  # whether it is, is said before, by who may say so
        policy.add_xff_header = False
        self._adapter: Any = policy.get_antissrf_session().get_adapter("https://")
        self._adapter.init_poolmanager(MOST_HOSTS, MOST_CONNECTIONS, ssl_context=tls)
        self._adapter.poolmanager.pool_classes_by_scheme = POOLS

    def pool(self, url: str) -> HTTPConnectionPool:
        """Return connections to the host of an address.

        Raises:
            Denied: it has an address that is not allowed.
            OSError: its name is not found now.
        """
        request = PreparedRequest()
        request.method, request.url, request.headers = "GET", url, CaseInsensitiveDict()
        try:
            pool: HTTPConnectionPool = self._adapter.get_connection_with_tls_context(request, verify=True)
        except AntiSSRFError as error:
            raise Denied(str(error)) from error
        return pool
