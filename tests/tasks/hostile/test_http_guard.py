"""Where http_request goes: never to what an address, a name server or a redirect would have it see of our network.

These cases say what `tasks.adapters.http.guard` must keep, whatever library stands behind it.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError, ProcosError, TransientError
from tasks.adapters.http.adapter import Http
from tasks.adapters.http.connection import HttpConnection
from tests.raw_http import RawServer, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC = "93.184.216.34"
NAMES = {
    "public.example": [PUBLIC],
    "internal.example": ["10.0.0.7"],
    "localhost": ["::1", "127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "one-of-two.example": [PUBLIC, "192.168.1.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
}
NUMBER = re.compile(r"[0-9.]+|.*:.*")
DENIED = {
    "loopback": "https://127.0.0.1/",
    "loopback-other": "https://127.8.9.10/",
    "loopback-port": "https://127.0.0.1:8443/",
    "localhost": "https://localhost/",
    "localhost-capitals": "https://LOCALHOST/",
    "localhost-dot": "https://localhost./",
    "loopback-dot": "https://127.0.0.1./",
    "decimal": "https://2130706433/",
    "decimal-dot": "https://2130706433./",
    "hexadecimal": "https://0x7f000001/",
    "hexadecimal-parts": "https://0x7f.0x0.0x0.0x1/",
    "hexadecimal-capitals": "https://0X7F.1/",
    "octal": "https://017700000001/",
    "octal-parts": "https://0177.0.0.01/",
    "short": "https://127.1/",
    "short-three": "https://127.0.1/",
    "zero": "https://0/",
    "leading-zeros": "https://127.000.000.001/",
    "overflow": "https://4294967297/",
    "ipv6-loopback": "https://[::1]/",
    "ipv6-loopback-long": "https://[0:0:0:0:0:0:0:1]/",
    "ipv6-unspecified": "https://[::]/",
    "ipv6-mapped": "https://[::ffff:127.0.0.1]/",
    "ipv6-mapped-hexadecimal": "https://[::ffff:7f00:1]/",
    "ipv6-compatible": "https://[::127.0.0.1]/",
    "ipv6-translated": "https://[::ffff:0:127.0.0.1]/",
    "ipv6-link-local": "https://[fe80::1]/",
    "ipv6-zone": "https://[fe80::1%25eth0]/",
    "ipv6-zone-plain": "https://[fe80::1%eth0]/",
    "ipv6-unique-local": "https://[fd00::1]/",
    "ipv6-site-local": "https://[fec0::1]/",
    "ipv6-multicast": "https://[ff02::1]/",
    "ipv6-metadata": "https://[fd00:ec2::254]/",
    "nat64": "https://[64:ff9b::7f00:1]/",
    "nat64-local": "https://[64:ff9b:1::a00:1]/",
    "6to4": "https://[2002:7f00:1::]/",
    "teredo": "https://[2001:0:7f00:1::]/",
    "metadata": "https://169.254.169.254/latest/meta-data/",
    "metadata-decimal": "https://2852039166/",
    "metadata-name": "https://metadata.google.internal/computeMetadata/v1/",
    "wireserver": "https://168.63.129.16/",
    "private-10": "https://10.0.0.1/",
    "private-172": "https://172.16.0.1/",
    "private-192": "https://192.168.0.1/",
    "carrier-grade-nat": "https://100.64.0.1/",
    "unspecified": "https://0.0.0.0/",
    "broadcast": "https://255.255.255.255/",
    "multicast": "https://224.0.0.1/",
    "reserved": "https://240.0.0.1/",
    "benchmarking": "https://198.18.0.1/",
    "fullwidth-digits": "https://１２７.０.０.１/",  # noqa: RUF001  # the point of it
    "circled-digits": "https://①②⑦.⓪.⓪.①/",
    "ideographic-dots": "https://127。0。0。1/",
    "name-to-internal": "https://internal.example/",
    "name-to-one-internal-of-two": "https://one-of-two.example/",
    "name-to-mapped": "https://mapped.example/",
    "plain-http": "http://public.example/",
}
NO_ADDRESS = {
    "userinfo": "https://public.example@127.0.0.1/",
    "userinfo-password": "https://user:secret@public.example/",
    "userinfo-hidden": "https://public.example%40127.0.0.1/",
    "backslash": "https://public.example\\@127.0.0.1/",
    "backslashes": "https:\\\\127.0.0.1\\",
    "fragment-host": "https://127.0.0.1#@public.example/ ",
    "line-break-in-host": "https://public.example\r\nHost: internal/",
    "line-break-in-path": "https://public.example/\r\nX-Injected: 1",
    "line-break-quoted-in-host": "https://public.example%0d%0aHost:internal/",
    "tab": "https://public.exa\tmple/",
    "blank": "https://public.example /",
    "null": "https://public.example\0.internal/",
    "file": "file:///etc/passwd",
    "ftp": "ftp://public.example/",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict": "dict://127.0.0.1:11211/stats",
    "data": "data:text/plain,hello",
    "unix": "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "javascript": "javascript:alert(1)",
    "no-scheme": "//127.0.0.1/",
    "no-host": "https:///etc/passwd",
    "one-slash": "https:/127.0.0.1/",
    "empty": "",
    "port-too-high": "https://public.example:65536/",
    "port-of-letters": "https://public.example:8a/",
    "port-empty": "https://public.example:/",
    "port-zero": "https://public.example:0/",
    "brackets-unclosed": "https://[::1/",
    "brackets-after": "https://[::1]evil.example/",
    "quoted-host": "https://%31%32%37.0.0.1/",
    "empty-label": "https://public..example/",
    "long-label": f"https://{'a' * 64}.example/",
    "long-name": f"https://{'a.' * 127}example/",
    "soft-hyphen-only": "https://\u00ad/",
    "upwards": "https://public.example/a/../../etc",
    "upwards-quoted": "https://public.example/a/%2e%2e/etc",
}
PATHS = {
    "address": "https://127.0.0.2/",
    "network-path": "//127.0.0.2/",
    "other-scheme": "file:///etc/passwd",
    "upwards": "../admin",
    "upwards-inside": "orders/../../admin",
    "upwards-quoted": "%2e%2e/admin",
    "upwards-twice-quoted": "%252e%252e/admin",
    "upwards-with-quoted-slash": "..%2fadmin",
    "upwards-with-parameter": "..;x=1/admin",
    "backslash": "..\\admin",
    "quoted-too-often": "%25252525252e/admin",
    "line-break": "orders\r\nX-Injected: 1",
    "fragment": "orders#/../admin",
    "userinfo": "\t@127.0.0.2/",
}
REDIRECTS = {
    "other-loopback": "http://127.0.0.2:1/",
    "private": "http://10.0.0.1/",
    "metadata": "http://169.254.169.254/latest/",
    "decimal": "http://2130706434/",
    "name": "http://internal.example/",
    "network-path": "//127.0.0.3/",
    "file": "file:///etc/passwd",
    "userinfo": "http://public.example@127.0.0.2/",
    "line-break": "http://public.example/%0d%0a\tX",
    "backslash": "\\\\127.0.0.2\\",
    "other-port": "http://127.0.0.1:1/",
    "nothing": "https://",
}


class Resolver:
    """Answers as a name server would, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.later: dict[str, list[str]] = {}

    def getaddrinfo(self, host: str, port: object, *_: object, **__: object) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        found = NAMES.get(host, [host] if NUMBER.fullmatch(host) else [])
        if host in self.asked[:-1]:
            found = self.later.get(host, found)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, port)) for each in found]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    found = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    return found


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch, resolver: Resolver) -> list[str]:  # noqa: ARG001  # names have addresses then
    """Where a connection was tried; none comes about."""
    found: list[str] = []

    def create_connection(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        found.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr("urllib3.util.connection.create_connection", create_connection)
    return found


@pytest.fixture
def redirecting(resolver: Resolver) -> Iterator[tuple[RawServer, list[str]]]:  # noqa: ARG001  # the same
    """A service of ours that sends others elsewhere."""
    places: list[str] = [""]
    with RawServer(lambda _: [answer(b"", f"Location: {places[0]}", status="302 Found")]) as server:
        yield server, places


def ask(http: Http, **request: object) -> Any:
    return http.call_service("request", request, deadline=time.monotonic() + 3, idempotency_key="k")


def own(server: RawServer, **fields: Any) -> Http:
    return Http(HttpConnection(url=f"{server.url}/api", **{"allowed_addresses": ("127.0.0.1",), **fields}))


class TestAddress:
    @pytest.mark.parametrize("url", DENIED.values(), ids=DENIED)
    def test_of_what_is_not_public_is_denied(self, url: str, dialled: list[str]) -> None:
        with pytest.raises(BusinessError) as raised:
            ask(Http(), url=url)
        assert raised.value.code == "HOST_DENIED"
        assert dialled == []

    @pytest.mark.parametrize("url", NO_ADDRESS.values(), ids=NO_ADDRESS)
    def test_that_is_none_or_could_mean_two_is_refused(self, url: str, dialled: list[str]) -> None:
        with pytest.raises(BusinessError) as raised:
            ask(Http(), url=url)
        assert raised.value.code == "INVALID_INPUT"
        assert "secret" not in str(raised.value)
        assert dialled == []

    @pytest.mark.parametrize("url", ["https://public.example/", f"https://{PUBLIC}/", "https://PUBLIC.example.:8443/"])
    def test_that_is_public_is_asked_at_the_address_that_was_checked(self, url: str, dialled: list[str]) -> None:
        with pytest.raises(TransientError, match="no connection"):
            ask(Http(), url=url)
        assert dialled == [PUBLIC]

    def test_is_looked_up_once_so_no_second_answer_leads_inside(self, dialled: list[str], resolver: Resolver) -> None:
        resolver.later["public.example"] = ["127.0.0.1"]
        with pytest.raises(TransientError):
            ask(Http(), url="https://public.example/")
        assert (dialled, resolver.asked) == ([PUBLIC], ["public.example"])

    def test_is_looked_up_anew_for_the_next_request(self, dialled: list[str], resolver: Resolver) -> None:
        resolver.later["public.example"] = ["127.0.0.1"]
        with pytest.raises(TransientError):
            ask(Http(), url="https://public.example/")
        with pytest.raises(BusinessError):
            ask(Http(), url="https://public.example/")
        assert dialled == [PUBLIC]

    def test_whose_name_is_not_found_is_a_failed_try(self, dialled: list[str]) -> None:
        with pytest.raises(TransientError, match="its name is not found") as raised:
            ask(Http(), url="https://nowhere.example/")
        assert (raised.value.code, dialled) == ("UNREACHABLE", [])

    def test_is_not_taken_from_a_proxy_of_the_environment(
        self, dialled: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:3128")
        with pytest.raises(TransientError):
            ask(Http(), url="https://public.example/")
        assert dialled == [PUBLIC]


class TestConnection:
    def test_with_an_internal_address_is_for_the_operator_to_allow(self, dialled: list[str]) -> None:
        with pytest.raises(PermanentError, match="name it in allowed_addresses of the connection") as raised:
            ask(Http(HttpConnection(url="http://internal.example/")))
        assert (raised.value.code, dialled) == ("HOST_DENIED", [])

    def test_is_asked_where_the_operator_allows_its_address(self, dialled: list[str]) -> None:
        with pytest.raises(TransientError):
            ask(Http(HttpConnection(url="http://internal.example/", allowed_addresses=("10.0.0.0/24",))))
        assert dialled == ["10.0.0.7"]

    @pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
    def test_is_not_left_by_a_path(self, path: str, dialled: list[str]) -> None:
        with pytest.raises(BusinessError) as raised:
            ask(Http(HttpConnection(url="https://public.example/api")), path=path)
        assert (raised.value.code, dialled) == ("INVALID_INPUT", [])

    @pytest.mark.parametrize("value", ["..", ".", "../admin", "..\\admin", "%2e%2e"], ids=repr)
    def test_is_not_left_by_a_parameter_of_a_path(self, value: str, dialled: list[str]) -> None:
        with pytest.raises(BusinessError) as raised:
            ask(Http(HttpConnection(url="https://public.example")), path="a/{id}/b", path_parameters={"id": value})
        assert (raised.value.code, dialled) == ("INVALID_INPUT", [])


class TestRedirect:
    @pytest.mark.parametrize("place", REDIRECTS.values(), ids=REDIRECTS)
    def test_to_what_is_not_public_is_not_followed(self, place: str, redirecting: tuple[RawServer, list[str]]) -> None:
        server, places = redirecting
        places[0] = place
        with pytest.raises(BusinessError) as raised:
            ask(own(server))
        assert raised.value.code in {"HOST_DENIED", "INVALID_INPUT"}
        assert len(server.requests) == 1

    def test_is_followed_five_times(self, redirecting: tuple[RawServer, list[str]]) -> None:
        server, places = redirecting
        places[0] = "/api/again"
        with pytest.raises(ProcosError, match="more than 5 redirects") as raised:
            ask(own(server))
        assert getattr(raised.value, "code", None) == "TOO_MANY_REDIRECTS"
        assert len(server.requests) == 6
