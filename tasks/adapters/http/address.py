"""Addresses: taken apart by one parser, checked, and put together again from what was understood.

Two parsers that understand an address differently are how a filter is walked around. So nothing of the given text
travels on unless it was named here: what is sent is built from scheme, host, port, path and query, each of a form
that leaves no room for a second meaning. Whether a host may be asked is `guard`'s to say, when it was looked up.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlencode, urljoin, urlsplit

from procos.domain.errors import BusinessError

if TYPE_CHECKING:
    from collections.abc import Mapping

INVALID_INPUT, HOST_DENIED = "INVALID_INPUT", "HOST_DENIED"
PORTS = {"http": 80, "https": 443}
HIGHEST_PORT = 65535
LONGEST = 8000
NO_PART_OF_ANY = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
LONGEST_NAME = 253
BRACKETS = re.compile(r"\[[^\[\]]*\](:[0-9]+)?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,99})\}")
IN_PATH, IN_QUERY = "/%:@!$&'()*+,;=~", "/%:@!$&'()*+,;=~?"
DEEPEST_QUOTING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a request goes."""

    scheme: str
    host: str
    """In small letters and ASCII; an IPv6 address without brackets."""
    port: int
    path: str
    query: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials belong to."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def place(self) -> str:
        """What messages call it: paths may hold what is nobody's business."""
        return f"{self.scheme}://{self.authority}"

    @property
    def shown(self) -> str:
        """The whole of it without its query, where credentials may stand."""
        return self.place + self.path

    @property
    def target(self) -> str:
        """Path and query, as the request line has them."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def with_query(self, more: Mapping[str, object]) -> Address:
        """Return it with further query parameters; a list repeats its name, null is left out."""
        pairs = [
            (name, _text(each))
            for name, value in more.items()
            for each in (value if isinstance(value, list) else [value])
            if each is not None
        ]
        if not pairs:
            return self
        return replace(self, query="&".join(filter(None, [self.query, urlencode(pairs, errors="replace")])))


def parsed(text: str, field: str = "url") -> Address:
    """Return the address a text means.

    Raises:
        BusinessError: INVALID_INPUT, where it is none; HOST_DENIED, where its host is a number in disguise.
    """
    if len(text) > LONGEST or NO_PART_OF_ANY.search(text):
        raise _wrong(field, f"expected at most {LONGEST} characters without blanks, line breaks and backslashes")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _wrong(field, "is no address") from None
    if parts.scheme not in PORTS:
        raise _wrong(field, "expected an address that begins with https:// or http://")
    if "@" in parts.netloc:
        raise _wrong(field, "user and password do not belong into an address; a connection has fields for them")
    if (port is not None and not 0 < port <= HIGHEST_PORT) or parts.netloc.endswith(":"):
        raise _wrong(field, "its port is none")
    host = _host(parts, field)
    path = quote(parts.path, safe=IN_PATH) or "/"
    check_path(path, field)
    query = quote(parts.query, safe=IN_QUERY)
    return Address(scheme=parts.scheme, host=host, port=port or PORTS[parts.scheme], path=path, query=query)


def joined(base: Address, path: str) -> Address:
    """Return the address of a path under a base, which it cannot leave.

    Raises:
        BusinessError: INVALID_INPUT, where it tries to.
    """
    if NO_PART_OF_ANY.search(path) or "#" in path:
        raise _wrong("path", "may hold no blanks, line breaks, backslashes and #")
    if ABSOLUTE.match(path):
        raise _wrong("path", "expected a path under the connection's URL, not an address of its own")
    only_path, _, query = path.partition("?")
    if not only_path.strip("/"):
        whole = base.path
    else:
        whole = f"{base.path.rstrip('/')}/{quote(only_path.lstrip('/'), safe=IN_PATH)}"
    check_path(whole, "path")
    return replace(base, path=whole, query=quote(query, safe=IN_QUERY))


def filled(template: str, parameters: Mapping[str, object], field: str) -> str:
    """Return a path or address with parameters in their places, quoted so that they stay one part of it.

    Raises:
        BusinessError: INVALID_INPUT: one is missing, left over, or empty.
    """
    head, mark, query = template.partition("?")
    places = set(PLACE.findall(head))
    if places != set(parameters):
        known = ", ".join(sorted(places)) or "none"
        raise _wrong("path_parameters", f"expected one for each {{name}} in {field} before its ?, which has: {known}")
    texts = {name: quote(_text(value), safe="", errors="replace") for name, value in parameters.items()}
    if empty := sorted(name for name, text in texts.items() if not text):
        raise _wrong("path_parameters", f"empty: {', '.join(empty)}")
    return PLACE.sub(lambda found: texts[found[1]], head) + mark + query


def redirected(base: Address, location: str) -> Address:
    """Return the address a redirect leads to.

    Raises:
        BusinessError: INVALID_INPUT or HOST_DENIED, as `parsed`.
    """
    # Headers are read as Latin-1, and servers write UTF-8.
    text = location.encode("latin-1", errors="replace").decode("utf-8", errors="replace").strip()
    if NO_PART_OF_ANY.search(text):
        raise _wrong("redirect", "leads to what is no address")
    try:
        whole = urljoin(base.place + base.target, text)
    except ValueError:
        raise _wrong("redirect", "leads to what is no address") from None
    return parsed(whole, "redirect")


def check_path(path: str, field: str) -> None:
    """Make sure that no part of a path leads upwards, however often it is quoted.

    Raises:
        BusinessError: INVALID_INPUT.
    """
    text = path
    for _ in range(DEEPEST_QUOTING):
        # A path of RFC 3986 may hold dots; whoever serves it may count `;` as the end of a part.
        if any(part.partition(";")[0] in {".", ".."} for part in re.split(r"[/\\]", text)):
            raise _wrong(field, "may not lead upwards by . or ..")
        text, before = unquote(text), text
        if text == before:
            return
    raise _wrong(field, "is quoted too often")


def _host(parts: SplitResult, field: str) -> str:
    host = (parts.hostname or "").lower()
    if parts.netloc.startswith("["):
        if not BRACKETS.fullmatch(parts.netloc):
            raise _wrong(field, "its host is none")
        return _version_6(host, field)
    if not host.isascii():
        host = _to_ascii(host, field)
    host = host.removesuffix(".")
    if not NAME.fullmatch(host) or len(host) > LONGEST_NAME:
        raise _wrong(field, "its host is none")
    if NUMBER.fullmatch(host.rpartition(".")[2]):
        # 2130706433, 0x7f.1 and 017700000001 are 127.0.0.1 to some resolvers, and names to others.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise BusinessError(HOST_DENIED, f"{field}: its host is an address in an unusual form") from None
    return host


def _version_6(host: str, field: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise _wrong(field, "its host is none") from None
    if address.scope_id:
        raise BusinessError(HOST_DENIED, f"{field}: an address of one link only")
    return str(address)


def _to_ascii(host: str, field: str) -> str:
    import idna

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _wrong(field, "its host is none") from None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value)
    except ValueError:  # of an integer with thousands of digits
        raise BusinessError(INVALID_INPUT, "query or path_parameters: a number is too long") from None


def _wrong(field: str, reason: str) -> BusinessError:
    return BusinessError(INVALID_INPUT, f"{field}: {reason}")
