"""The bridge's client of Redis: one per part that keeps something there, every command with a limit."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis

from procos.domain.addresses import without_secrets
from procos.domain.errors import LedgerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis.commands.core import Script
    from redis.typing import EncodableT

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

    def _run(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[EncodableT]]]) -> list[Any]:
        """Run a script once for each pair of keys and arguments, in one round trip; returns the answers in order.

        A Redis that was restarted has forgotten its scripts: what it did not know is sent again.
        """
        with self._reachable():
            answers = self._sent(script, calls)
            if unknown := [i for i, answer in enumerate(answers) if isinstance(answer, redis.exceptions.NoScriptError)]:
                self._redis.script_load(script.script)
                for i, answer in zip(unknown, self._sent(script, [calls[i] for i in unknown]), strict=True):
                    answers[i] = answer
            for answer in answers:
                if isinstance(answer, redis.RedisError):
                    raise answer
        return answers

    def _sent(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[EncodableT]]]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for keys, arguments in calls:
                pipeline.evalsha(script.sha, len(keys), *keys, *arguments)
            return pipeline.execute(raise_on_error=False)

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
