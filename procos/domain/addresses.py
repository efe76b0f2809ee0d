"""What an address in a setting must look like; each check returns the address as it is used, or says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Callable


def rest_root(url: str) -> str:
    """Complete an engine address: without a path it gets `/engine-rest`, where Camunda 7 serves its REST API.

    Raises:
        ValueError: it is not one, or holds credentials.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an http:// or https:// address, such as http://localhost:8080/engine-rest")
    if parts.username or parts.password:
        raise ValueError("credentials go into PROCOS_ENGINE_USER and PROCOS_ENGINE_PASSWORD, not into the address")
    _ = parts.port  # raises ValueError for what is no port
    return url.rstrip("/") if parts.path.strip("/") else url.rstrip("/") + "/engine-rest"


def web_address(url: str) -> str:
    """Check an address of a service that speaks HTTP, and drop a slash at its end.

    Raises:
        ValueError: it is not one.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an http:// or https:// address")
    _ = parts.port  # raises ValueError for what is no port
    return url.rstrip("/")


def has_scheme(*allowed: str) -> Callable[[str], str]:
    """Return a check that an address begins with one of the schemes."""

    def check(url: str) -> str:
        if urlsplit(url).scheme not in allowed:
            raise ValueError(f"expected an address that begins with {' or '.join(f'{a}://' for a in allowed)}")
        return url

    return check


def without_secrets(url: str) -> str:
    """Return an address as it may be shown: no credentials, and no query, which may hold some too."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
