"""The bridge's client of Redis: one per part that keeps something there, every command with a limit."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis

from procos.domain.addresses import without_secrets
from procos.domain.errors import LedgerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import RedisSettings


class Store:
    """A connection pool; may be shared by threads."""

    def __init__(self, settings: RedisSettings) -> None:
        self.address = without_secrets(settings.url)
        self._redis = redis.Redis.from_url(
            settings.url,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.timeout,
            health_check_interval=30,
            decode_responses=True,
        )

    def ping(self) -> None:
        """Make sure that Redis answers.

        Raises:
            LedgerUnreachableError: it does not, as every method here may raise.
        """
        with self._reachable():
            self._redis.ping()

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise LedgerUnreachableError(self.address, _reason(error)) from error


def _reason(error: redis.RedisError) -> str:
    if isinstance(error, redis.AuthenticationError):
        return "the credentials are refused"
    return str(error).rstrip(".") or type(error).__name__
