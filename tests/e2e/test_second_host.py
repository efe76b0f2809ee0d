"""An `ai` worker on a second host, which reaches the broker and Redis and nothing else, takes its share.

The host is a network namespace with one cable to ours; two forwarders on our end of it are all there is to reach.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.availability import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# Named by our process: a run that was killed leaves its host behind, and another may be under way beside this one.
HOST = f"procos-{os.getpid()}"
CABLE = (f"pa-{os.getpid()}", f"pb-{os.getpid()}")
NETMASK = 30
NETWORK = ipaddress.ip_address("10.213.0.0") + os.getpid() % 2**14 * 4
OURS, THEIRS = str(NETWORK + 1), str(NETWORK + 2)


class Forwarder:
    """Passes connections on an address of the cable to a loopback port."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((OURS, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Closing alone would leave the thread waiting in accept.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                far.settimeout(None)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()


@pytest.fixture
def second_host() -> Iterator[str]:
    require(None if shutil.which("ip") else "ip is missing: apt-get install iproute2")
    require("making a network namespace needs root: sudo make e2e" if os.geteuid() else None)
    with _cable():
        yield HOST


@contextmanager
def _cable() -> Iterator[None]:
    near, far = CABLE
    _ip("netns", "add", HOST)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", HOST)
        _ip("addr", "add", f"{OURS}/{NETMASK}", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", HOST, "addr", "add", f"{THEIRS}/{NETMASK}", "dev", far)
        _ip("-n", HOST, "link", "set", far, "up")
        _ip("-n", HOST, "link", "set", "lo", "up")
        yield
    finally:
        _ip("netns", "delete", HOST)


def _ip(*arguments: str) -> None:
    answer = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, timeout=10)
    assert not answer.returncode, f"ip {' '.join(arguments)}: {answer.stderr}"


@contextmanager
def _worker(stack: Any, host: str, log: Path, addresses: Mapping[str, str]) -> Iterator[None]:
    """Run the worker as a user does there: two addresses, nothing else."""
    environment = {
        "PATH": stack.environment["PATH"],
        "PYTHONPATH": stack.environment["PYTHONPATH"],
        **addresses,
    }
    command = ["ip", "netns", "exec", host, sys.executable, "-m", "celery", "-A", "procos.app", "worker", "-Q", "ai"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


class TestSecondHost:
    def test_takes_its_share(
        self, stack: Any, second_host: str, tmp_path: Path, eventually: Callable[..., None]
    ) -> None:
        log = tmp_path / "worker.log"
        with ExitStack() as open_things:
            addresses = {}
            for name in ("PROCOS_BROKER_URL", "PROCOS_REDIS_URL"):
                parts = urlsplit(stack.settings[name])
                assert parts.port
                forwarder = Forwarder(parts.port)
                open_things.callback(forwarder.close)
                addresses[name] = parts._replace(
                    netloc=f"{parts.netloc.rpartition('@')[0]}@{OURS}:{forwarder.port}"
                ).geturl()
            open_things.enter_context(_worker(stack, second_host, log, addresses))
            eventually(lambda: "ready." in log.read_text(), seconds=30, what="the second host's worker ready")
            ids = [stack.start("sample_sleep", seconds={"type": "Double", "value": 0.5}) for _ in range(40)]
            eventually(lambda: stack.finished(ids) == 40, seconds=60, what="forty steps")
            assert log.read_text().count("sample.sample_sleep") > 10
