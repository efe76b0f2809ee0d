"""Engines behind TLS: an authority of one's own, certificates of clients, and what is said when they do not fit."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import EngineUnreachableError, SettingsError
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.settings import EngineSettings
from tests.contract.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.certificates import Pair

TOKEN = b'{"access_token": "of-tls", "expires_in": 60}'

ASKED_FOR = "PROCOS_ENGINE_CLIENT_CERT"
"""With TLS 1.3 the connection may break before the server's reason has been read, so it may be a guess."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.sign("client")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A client of an authority nobody knows."""
    return Authority(tmp_path_factory.mktemp("strangers"), "strangers").sign("stranger")


class Answers(BaseHTTPRequestHandler):
    """Answers as an engine and its token server, and remembers who called."""

    protocol_version = "HTTP/1.1"
    callers: list[tuple[str, str]] = []  # noqa: RUF012  # emptied by the fixture

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        shown = self.connection.getpeercert() or {}
        names = dict(part[0] for part in shown.get("subject", ()))
        self.callers.append((names.get("commonName", ""), self.headers.get("Authorization", "")))
        body = TOKEN if self.path == "/token" else b'{"version": "7.24.0"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815  # the base class's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls-1.2", "tls-1.3"])
def address(authority: Authority, request: pytest.FixtureRequest) -> Iterator[str]:
    """An HTTPS server that lets nobody in without a certificate of the authority."""
    own = authority.sign("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(own.certificate, own.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = request.param
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes are the point
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    Answers.callers.clear()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def engine(address: str, **fields: Any) -> HttpEngine:
    return HttpEngine(Transport(EngineSettings.model_validate({"url": f"{address}/engine-rest", **fields})))


class TestCertificates:
    def test_let_a_client_in(self, address: str, authority: Authority, client: Pair) -> None:
        chosen = engine(address, ca=authority.certificate, client_cert=client.certificate, client_key=client.key)
        assert chosen.version() == "7.24.0"
        assert Answers.callers == [("client", "")]

    def test_may_lie_in_one_file_with_the_key(self, address: str, authority: Authority, client: Pair) -> None:
        both = client.key.with_name("both.pem")
        both.write_text(client.certificate.read_text() + client.key.read_text())
        assert engine(address, ca=authority.certificate, client_cert=both).version() == "7.24.0"

    def test_serve_the_token_server_too(self, address: str, authority: Authority, client: Pair) -> None:
        chosen = engine(
            address,
            ca=authority.certificate,
            client_cert=client.certificate,
            client_key=client.key,
            oauth_token_url=f"{address}/token",
            oauth_client_id="bridge",
            oauth_client_secret="s",
        )
        assert chosen.version() == "7.24.0"
        assert [name for name, _ in Answers.callers] == ["client", "client"]
        assert Answers.callers[1][1] == "Bearer of-tls"

    def test_that_are_missing_are_asked_for(self, address: str, authority: Authority) -> None:
        with pytest.raises(EngineUnreachableError, match=ASKED_FOR):
            engine(address, ca=authority.certificate).version()

    def test_of_an_authority_the_server_does_not_know_are_told(
        self, address: str, authority: Authority, stranger: Pair
    ) -> None:
        chosen = engine(address, ca=authority.certificate, client_cert=stranger.certificate, client_key=stranger.key)
        with pytest.raises(EngineUnreachableError, match=ASKED_FOR):
            chosen.version()

    def test_of_a_server_nobody_vouches_for_are_told(self, address: str, client: Pair) -> None:
        with pytest.raises(EngineUnreachableError, match=r"not trusted \(PROCOS_ENGINE_CA"):
            engine(address, client_cert=client.certificate, client_key=client.key).version()
        assert Answers.callers == []

    def test_of_the_server_itself_vouch_for_nothing(self, address: str, authority: Authority, client: Pair) -> None:
        of_the_server = authority.certificate.with_name("server.pem")
        with pytest.raises(EngineUnreachableError, match=r"not trusted \(PROCOS_ENGINE_CA"):
            engine(address, ca=of_the_server, client_cert=client.certificate, client_key=client.key).version()

    def test_of_another_host_are_told(self, address: str, authority: Authority, client: Pair) -> None:
        elsewhere = address.replace("127.0.0.1", "localhost")
        chosen = engine(elsewhere, ca=authority.certificate, client_cert=client.certificate, client_key=client.key)
        with pytest.raises(EngineUnreachableError, match=r"not trusted \(PROCOS_ENGINE_CA"):
            chosen.version()
        assert Answers.callers == []

    def test_of_the_systems_authorities_are_trusted(
        self, address: str, authority: Authority, client: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        chosen = engine(address, client_cert=client.certificate, client_key=client.key)
        assert chosen.version() == "7.24.0"

    def test_of_the_systems_authorities_count_no_more_where_others_are_named(
        self, address: str, authority: Authority, client: Pair, stranger: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        chosen = engine(address, ca=stranger.certificate, client_cert=client.certificate, client_key=client.key)
        with pytest.raises(EngineUnreachableError, match=r"not trusted \(PROCOS_ENGINE_CA"):
            chosen.version()

    def test_are_those_that_were_there_at_the_start(
        self, address: str, authority: Authority, client: Pair, tmp_path: Path
    ) -> None:
        mounted = tmp_path / "client.pem"
        mounted.write_text(client.certificate.read_text() + client.key.read_text())
        chosen = engine(address, ca=authority.certificate, client_cert=mounted)
        mounted.write_text("half of another")
        assert chosen.version() == "7.24.0"

    def test_whose_key_is_locked_are_refused_at_once(self, address: str, authority: Authority) -> None:
        locked = authority.sign("locked", passphrase="hunter2")
        with pytest.raises(SettingsError, match=r"PROCOS_ENGINE_CLIENT_KEY.*without a passphrase"):
            engine(address, client_cert=locked.certificate, client_key=locked.key)

    def test_whose_key_is_anothers_are_refused_at_once(self, address: str, client: Pair, stranger: Pair) -> None:
        with pytest.raises(SettingsError, match="PROCOS_ENGINE_CLIENT_CERT and PROCOS_ENGINE_CLIENT_KEY"):
            engine(address, client_cert=client.certificate, client_key=stranger.key)
