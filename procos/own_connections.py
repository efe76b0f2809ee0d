"""A connection to Redis for each thread that asks, so that a command costs its thread little.

A pool lends a connection for each command: a lock, two registrations, and bookkeeping that nobody reads, which together
cost as much as the command. A thread that asks again and again does better with one that it keeps (docs/adr/0036).
Where it need not know the answer it does not wait for it either: the answer is read before the thread's next command.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Script(Protocol):
    """A script of Redis, ready to be run with its keys and arguments; returns what it returns."""

    def __call__(self, *, keys: Sequence[object], args: Sequence[object]) -> Any:
        """Run it; raises redis.RedisError."""


class OwnConnections:
    """Connections made as a client's are, with its address, limits and tries; for all threads, and across forks.

    Any command raises redis.RedisError: Redis is away, or refuses it.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._threads = threading.local()

    def ask(self, *command: object) -> Any:
        """Send a command and return its answer, as redis-py reads it from the wire."""
        return self._own().ask(command)

    def tell(self, *command: object, refused: Callable[[redis.RedisError], object]) -> None:
        """Send a command; `refused` is called, before the thread's next one, if Redis does not say that it is done."""
        self._own().tell(command, refused)

    def script(self, text: str) -> Script:
        """Return a script, which is sent whole only to a Redis that does not know it."""
        return partial(self._run, self._client.register_script(text))

    def _run(self, script: redis.commands.core.Script, *, keys: Sequence[object], args: Sequence[object]) -> Any:
        try:
            return self.ask("EVALSHA", script.sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return self.ask("EVAL", script.script, len(keys), *keys, *args)

    def _own(self) -> _Own:
        own: _Own | None = getattr(self._threads, "own", None)
        if own is None or own.pid != os.getpid():  # what a fork has copied is the parent's
            own = self._threads.own = _Own(self._made())
        return own

    def _made(self) -> Any:
        """Make a connection beside the pool, whose limit (100, where nothing else is said) is for what it lends."""
        pool = self._client.connection_pool
        return pool.connection_class(**pool.connection_kwargs)


class _Own:
    """The connection of a thread, which may be interrupted at any moment: by a time limit, or as it is cancelled."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._is_answer_owed = False
        self._refused: Callable[[redis.RedisError], object] | None = None
        """Whom the answer that is owed matters to; nobody, if the thread was interrupted."""
        self.pid = os.getpid()

    def __del__(self) -> None:
        """Close the connection when its thread has ended: redis-py's own object waits for the cyclic collector."""
        if self.pid == os.getpid():
            self._connection.disconnect()

    def ask(self, command: Sequence[object]) -> Any:
        self._make_ready()
        return self._tried(partial(self._answer_to, command))

    def tell(self, command: Sequence[object], refused: Callable[[redis.RedisError], object]) -> None:
        self._make_ready()
        self._tried(partial(self._send, command))
        self._refused = refused

    def _answer_to(self, command: Sequence[object]) -> Any:
        self._send(command)
        return self._read()

    def _send(self, command: Sequence[object]) -> None:
        self._is_answer_owed = True
        self._connection.send_command(*command)

    def _read(self) -> Any:
        try:
            answer = self._connection.read_response()
        except redis.ResponseError:
            self._is_answer_owed = False
            raise
        self._is_answer_owed = False
        return answer

    def _tried(self, call: Callable[[], Any]) -> Any:
        """Call as often as the client would, each time on a new connection."""
        return self._connection.retry.call_with_retry(call, lambda _: self._drop())

    def _make_ready(self) -> None:
        """Read the answer that is owed, or see that Redis has closed the connection meanwhile.

        Raises:
            redis.TimeoutError: Redis is frozen; the next command would only wait for it as long again.
        """
        refused, self._refused = self._refused, None
        if not self._is_answer_owed:
            self._drop_if_closed()
        elif refused is None:
            self._drop()
        else:
            self._read_late(refused)
            self._drop_if_closed()

    def _read_late(self, refused: Callable[[redis.RedisError], object]) -> None:
        try:
            self._read()
        except redis.TimeoutError as error:
            refused(error)
            raise
        except redis.RedisError as error:
            refused(error)

    def _drop_if_closed(self) -> None:
        """Drop the connection if there is anything to read: nothing is to come, so it is the end."""
        try:
            if self._connection.is_connected and self._connection.can_read():
                self._drop()
        except (redis.ConnectionError, OSError):
            self._drop()

    def _drop(self) -> None:
        self._connection.disconnect()
        self._is_answer_owed = False
