"""Two registries behind one handle: in memory on a frozen clock, and on Redis, whose clock nobody can move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bridge.registry import Registry
from procos import ledger_keys as keys
from procos.testing import FakeRegistry, Register
from tests.services import pause

if TYPE_CHECKING:
    import redis

    from procos.settings import RedisSettings


class RegistryLab(Protocol):
    """What a case may do, beside the calls of the registries it is about."""

    def bridge(self) -> Registry:
        """Return the registry of one more bridge."""

    def flush(self) -> None:
        """Lose everything."""

    def run_out(self, name: str) -> None:
        """Let the lease on a replica id end, as if its holder had not renewed it."""

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""


class FakeLab:
    """Registries in memory."""

    def __init__(self) -> None:
        self._register = Register()

    def bridge(self) -> Registry:
        return FakeRegistry(self._register)

    def flush(self) -> None:
        self._register.flush()

    def run_out(self, name: str) -> None:  # noqa: ARG002  # all run out
        self._register.clock.advance(seconds=60)

    def pass_time(self, seconds: float) -> None:
        self._register.clock.advance(seconds=seconds)


class RedisLab:
    """Registries on Redis."""

    def __init__(self, client: redis.Redis, settings: RedisSettings) -> None:
        self._client, self._settings = client, settings

    def bridge(self) -> Registry:
        return Registry(self._settings)

    def flush(self) -> None:
        self._client.flushall()

    def run_out(self, name: str) -> None:
        key = keys.replica(name)
        assert 0 < self._client.pttl(key) <= 10_000
        self._client.pexpire(key, 1)
        pause(0.01)

    def pass_time(self, seconds: float) -> None:
        pause(seconds)
