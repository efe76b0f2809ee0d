"""One exchange over TLS: whom it trusts, and that it ends in time there as well."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tasks.adapters.exchange import AnswerLostError, NothingSentError, Request, Way, exchange
from tests.contract.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 5.0
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def port(authority: Authority) -> Iterator[int]:
    """A service that answers /whole at once, and anything else a byte at a time for ever."""
    pair = authority.sign("service")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        thread = threading.Thread(target=_serve, args=(listening, tls, over), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join(PATIENCE)


def _serve(listening: socket.socket, tls: ssl.SSLContext, over: threading.Event) -> None:
    while not over.is_set():
        try:
            plain, _ = listening.accept()
            plain.settimeout(PATIENCE)
            with tls.wrap_socket(plain, server_side=True) as connection:
                _answer(connection, over)
        except OSError:
            continue  # nobody came, or did not stay


def _answer(connection: ssl.SSLSocket, over: threading.Event) -> None:
    if b"/whole" in connection.recv(1 << 16):
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
        return
    connection.sendall(HEAD + b"\r\n")
    while not over.wait(0.01):
        connection.sendall(b" ")


def ask(port: int, path: str, *, ca_file: Path | None = None, seconds: float = PATIENCE) -> bytes:
    way = Way(
        deadline=time.monotonic() + seconds,
        connect_seconds=PATIENCE,
        largest_answer=1000_000,
        ca_file=str(ca_file) if ca_file else None,
    )
    return exchange(Request(method="GET", url=f"https://127.0.0.1:{port}{path}", headers={}), way).body


class TestExchange:
    def test_trusts_the_authorities_of_a_file(self, port: int, authority: Authority) -> None:
        assert ask(port, "/whole", ca_file=authority.certificate) == b"{}"

    def test_trusts_them_as_the_file_has_them_now(self, port: int, authority: Authority, tmp_path: Path) -> None:
        ca_file = tmp_path / "ca.pem"
        other = Authority(tmp_path)
        ca_file.write_bytes(other.certificate.read_bytes())
        with pytest.raises(NothingSentError, match="its certificate is not trusted"):
            ask(port, "/whole", ca_file=ca_file)
        ca_file.write_bytes(authority.certificate.read_bytes())
        assert ask(port, "/whole", ca_file=ca_file) == b"{}"

    def test_says_nothing_to_whom_it_does_not_trust(self, port: int) -> None:
        with pytest.raises(NothingSentError, match="its certificate is not trusted"):
            ask(port, "/whole")

    def test_ends_in_time(self, port: int, authority: Authority) -> None:
        with pytest.raises(AnswerLostError, match="did not answer in time"):
            ask(port, "/dripping", ca_file=authority.certificate, seconds=1.0)
