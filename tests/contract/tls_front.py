"""A TLS front before a plain RabbitMQ, which sends what the broker says in one record as often as it can.

RabbitMQ does the same under load; here it happens every time.
"""

from __future__ import annotations

import select
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from procos.settings import BrokerSettings
from tests.availability import require
from tests.services import pause

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 16_000
"""A little less than the largest TLS record."""
GATHERING_SECONDS = 0.05
PATIENCE_SECONDS = 0.2


class TlsFront:
    """Takes TLS connections on a port of its own and passes what they carry on to the broker."""

    def __init__(self, broker: BrokerSettings, folder: Path) -> None:
        url = urlsplit(broker.url)
        self._target = (url.hostname or "127.0.0.1", url.port or 5672)
        self.certificate = _certificate(folder)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self.certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_SECONDS)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        port = self._listener.getsockname()[1]
        self.settings = BrokerSettings(
            url=f"amqps://{url.username}:{url.password}@127.0.0.1:{port}//",
            confirm_timeout=broker.confirm_timeout,
        )

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _run(self, target: object, *arguments: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                plain, _ = self._listener.accept()
                self._run(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        """Pass bytes both ways on one thread, since a TLS socket may not be read and written at once."""
        with (
            suppress(OSError),
            self._tls.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(self._target) as broker,
        ):
            while not self._stop.is_set():
                ready = [client] if client.pending() else select.select([client, broker], [], [], PATIENCE_SECONDS)[0]
                if client in ready and not _pass_on(client, broker):
                    return
                if broker in ready:
                    pause(GATHERING_SECONDS)
                    if not _pass_on(broker, client):
                        return


def _pass_on(source: socket.socket, target: socket.socket) -> int:
    data = source.recv(CHUNK)
    target.sendall(data)
    return len(data)


def _certificate(folder: Path) -> Path:
    """Make a key and a certificate that signs itself, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        require("openssl is not installed: apt-get install openssl")
    certificate = folder / "broker.pem"
    subprocess.run(
        [
            *(str(openssl), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(certificate), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    with certificate.open("a") as both:
        both.write((folder / "certificate.pem").read_text())
    return certificate
