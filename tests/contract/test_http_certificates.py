"""TLS of http_request against a server that asks for a certificate: whom we trust, and what we show."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import PermanentError, TransientError
from tasks.adapters.http.adapter import Http
from tasks.adapters.http.connection import HttpConnection
from tests.contract.certificates import Authority
from tests.raw_http import RawServer, answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[RawServer]:
    """A service that lets in whoever shows a certificate of the authority."""
    pair = authority.sign("server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    tls.load_verify_locations(authority.certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    with RawServer(lambda _: [answer(b'"welcome"')], tls=tls) as found:
        yield found


def ask(server: RawServer, **fields: Any) -> object:
    http = Http(HttpConnection(url=server.url, allowed_addresses=["127.0.0.1"], **fields))
    found = http.call_service("request", {}, deadline=time.monotonic() + 10, idempotency_key="k")
    return found["body"]


class TestCertificate:
    def test_of_a_client_lets_it_in(self, server: RawServer, authority: Authority) -> None:
        pair = authority.sign("client")
        own = {"client_certificate": pair.certificate, "client_key": pair.key}
        assert ask(server, ca_file=authority.certificate, **own) == "welcome"

    def test_may_have_a_key_that_is_locked(self, server: RawServer, authority: Authority) -> None:
        pair = authority.sign("locked", passphrase="open-sesame")
        own = {"client_certificate": pair.certificate, "client_key": pair.key}
        assert ask(server, ca_file=authority.certificate, client_key_password="open-sesame", **own) == "welcome"
        with pytest.raises(PermanentError, match="a certificate, its key or ca_file cannot be used") as raised:
            ask(server, ca_file=authority.certificate, client_key_password="wrong-word", **own)
        assert raised.value.code == "CONNECTION_INVALID"

    def test_is_missed_by_the_server(self, server: RawServer, authority: Authority) -> None:
        before = len(server.requests)
        with pytest.raises(TransientError):
            ask(server, ca_file=authority.certificate)
        assert len(server.requests) == before

    def test_of_a_server_nobody_trusts_is_refused(self, server: RawServer) -> None:
        before = len(server.requests)
        with pytest.raises(TransientError, match=r"TLS failed \(self-signed certificate in certificate chain\)"):
            ask(server)
        assert len(server.requests) == before

    def test_of_a_server_of_another_name_is_refused(self, server: RawServer, authority: Authority) -> None:
        pair = authority.sign("client")
        own: dict[str, Any] = {"client_certificate": pair.certificate, "client_key": pair.key}
        url = server.url.replace("127.0.0.1", "localhost")
        http = Http(HttpConnection(url=url, allowed_addresses=["127.0.0.1"], ca_file=authority.certificate, **own))
        with pytest.raises(TransientError, match="TLS failed"):
            http.call_service("request", {}, deadline=time.monotonic() + 10, idempotency_key="k")

    def test_that_is_not_there_is_for_the_operator(self, server: RawServer, tmp_path: Path) -> None:
        with pytest.raises(PermanentError, match=r"gone\.pem of a connection is not there") as raised:
            ask(server, ca_file=tmp_path / "gone.pem")
        assert raised.value.code == "CONNECTION_INVALID"
