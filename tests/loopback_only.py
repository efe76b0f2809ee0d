"""Quick tests talk to nobody: a connection that leaves the machine is an error, and so is a test that takes long."""

from __future__ import annotations

import socket

import pytest

LONGEST_SECONDS = 5


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a test connects to anything that is not on this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            pytest.fail(f"a quick test connects to {address}")
        connect(self, address)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(socket.socket, "connect", guarded)


def bound(items: list[pytest.Item], folder: str) -> None:
    """Give every test below a folder its limit."""
    for item in items:
        if folder in str(item.path):
            item.add_marker(pytest.mark.timeout(LONGEST_SECONDS))
