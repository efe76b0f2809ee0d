"""A connection for each thread: answers go to who asked, whatever Redis, the thread or the process does in between."""

from __future__ import annotations

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import redis

from procos.own_connections import OwnConnections
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.services import Service

LIMIT_SECONDS = 0.5
OUT_OF_MEMORY = "command not allowed when used memory > 'maxmemory'"


@pytest.fixture
def connect(redis_server: Service) -> Iterator[Callable[..., OwnConnections]]:
    """Return what makes connections as a client with these options has them."""
    made: list[redis.Redis] = []

    def connections(**options: Any) -> OwnConnections:
        client = redis.Redis.from_url(redis_server.environment["PROCOS_REDIS_URL"], **options)
        made.append(client)
        return OwnConnections(client)

    yield connections
    for client in made:
        client.close()


@pytest.fixture
def connections(connect: Callable[..., OwnConnections], redis_client: redis.Redis) -> OwnConnections:  # noqa: ARG001  # emptied first
    return connect(socket_timeout=LIMIT_SECONDS)


@pytest.fixture
def refusals() -> list[redis.RedisError]:
    return []


@pytest.fixture
def full(redis_client: redis.Redis) -> Iterator[Callable[[], object]]:
    yield lambda: redis_client.config_set("maxmemory", 1)
    redis_client.config_set("maxmemory", 0)


@pytest.fixture
def frozen(redis_server: Service) -> Iterator[Callable[[], None]]:
    yield redis_server.freeze
    redis_server.freeze(frozen=False)


@pytest.fixture
def collector_at_rest() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["as soon as it has sent", "before it reads"])
def interrupted(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Have the thread interrupted over its next command."""

    def arm() -> None:
        send, read = redis.Connection.send_command, redis.Connection.read_response

        def stop(self: Any, *command: Any, **options: Any) -> None:
            monkeypatch.setattr(redis.Connection, "send_command", send)
            monkeypatch.setattr(redis.Connection, "read_response", read)
            if command:
                send(self, *command, **options)  # type: ignore[no-untyped-call]
            raise KeyboardInterrupt

        is_sent = request.param == "as soon as it has sent"
        monkeypatch.setattr(redis.Connection, "send_command" if is_sent else "read_response", stop)

    return arm


def ids_of(client: redis.Redis) -> set[int]:
    return {int(each["id"]) for each in client.client_list()}


class TestAsking:
    def test_brings_the_answer(self, connections: OwnConnections) -> None:
        assert connections.ask("ECHO", "word") == b"word"

    def test_is_done_on_one_connection_by_a_thread(self, connections: OwnConnections) -> None:
        assert connections.ask("CLIENT", "ID") == connections.ask("CLIENT", "ID")

    def test_is_done_on_connections_of_their_own_by_several(self, connections: OwnConnections) -> None:
        mine = connections.ask("CLIENT", "ID")
        with ThreadPoolExecutor(1) as other:
            assert other.submit(connections.ask, "CLIENT", "ID").result() != mine

    def test_is_done_by_more_threads_than_a_pool_has_connections(self, connect: Callable[..., OwnConnections]) -> None:
        connections, threads = connect(max_connections=2), 5
        together = Barrier(threads)

        def ask() -> object:
            together.wait(LIMIT_SECONDS * 20)
            return connections.ask("CLIENT", "ID")

        with ThreadPoolExecutor(threads) as pool:
            ids = [each.result() for each in [pool.submit(ask) for _ in range(threads)]]
        assert len(set(ids)) == threads

    @pytest.mark.usefixtures("collector_at_rest")
    def test_leaves_nothing_open_when_its_thread_has_ended(
        self, connections: OwnConnections, redis_client: redis.Redis
    ) -> None:
        with ThreadPoolExecutor(1) as other:
            theirs = other.submit(connections.ask, "CLIENT", "ID").result()
        wait_until(lambda: theirs not in ids_of(redis_client), 10, what="the connection is closed")

    def test_raises_what_redis_refuses(self, connections: OwnConnections) -> None:
        with pytest.raises(redis.ResponseError, match="unknown command"):
            connections.ask("NO", "SUCH")
        assert connections.ask("ECHO", "word") == b"word"

    def test_goes_on_where_redis_has_closed_the_connection(
        self, connections: OwnConnections, redis_client: redis.Redis
    ) -> None:
        redis_client.client_kill_filter(_id=connections.ask("CLIENT", "ID"))
        assert connections.ask("ECHO", "word") == b"word"

    def test_takes_no_longer_than_its_limit(self, connections: OwnConnections, frozen: Callable[[], None]) -> None:
        connections.ask("PING")
        frozen()
        with pytest.raises(redis.TimeoutError):
            connections.ask("PING")

    def test_gets_no_answer_that_was_for_an_interrupted_command(
        self, connections: OwnConnections, interrupted: Callable[[], None]
    ) -> None:
        interrupted()
        with suppress(KeyboardInterrupt):
            connections.ask("ECHO", "interrupted")
        assert connections.ask("ECHO", "word") == b"word"

    def test_leaves_the_connection_to_the_process_that_made_it(self, connections: OwnConnections) -> None:
        mine, (read, write) = connections.ask("CLIENT", "ID"), os.pipe()
        if (child := os.fork()) == 0:  # pragma: no cover  # the child says what it sees, and is gone
            os.write(write, str(connections.ask("CLIENT", "ID")).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert int(os.read(read, 100)) != mine
        assert connections.ask("CLIENT", "ID") == mine
        os.close(read)
        os.close(write)


class TestTelling:
    def test_is_done(self, connections: OwnConnections, refusals: list[redis.RedisError]) -> None:
        connections.tell("SET", "key", "value", refused=refusals.append)
        assert connections.ask("GET", "key") == b"value"
        assert refusals == []

    def test_goes_on_where_redis_has_closed_the_connection(
        self, connections: OwnConnections, redis_client: redis.Redis, refusals: list[redis.RedisError]
    ) -> None:
        mine = connections.ask("CLIENT", "ID")
        connections.tell("SET", "one", "1", refused=refusals.append)
        wait_until(lambda: redis_client.exists("one"), 10, what="the first is done")
        redis_client.client_kill_filter(_id=mine)
        connections.tell("SET", "two", "2", refused=refusals.append)
        assert (connections.ask("GET", "two"), refusals) == (b"2", [])

    def test_says_later_that_redis_has_refused(
        self, connections: OwnConnections, refusals: list[redis.RedisError], full: Callable[[], object]
    ) -> None:
        full()
        connections.tell("SET", "key", "value", refused=refusals.append)
        assert refusals == []
        assert connections.ask("ECHO", "word") == b"word"
        assert [OUT_OF_MEMORY in str(refusal) for refusal in refusals] == [True]

    def test_says_later_that_the_connection_was_lost(
        self, connections: OwnConnections, refusals: list[redis.RedisError], frozen: Callable[[], None],
        redis_server: Service,
    ) -> None:  # fmt: skip
        connections.ask("PING")
        frozen()
        connections.tell("SET", "key", "value", refused=refusals.append)
        redis_server.kill()
        redis_server.start()
        assert connections.ask("ECHO", "word") == b"word"
        assert [type(refusal) for refusal in refusals] == [redis.ConnectionError]

    def test_is_tried_anew_where_the_client_tries_anew(
        self, redis_client: redis.Redis, connect: Callable[..., OwnConnections], refusals: list[redis.RedisError],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        send, failures = redis.Connection.send_command, [redis.ConnectionError("broken pipe")]

        def send_but_once(self: Any, *command: Any, **options: Any) -> None:
            if command[0] == "SET" and failures:
                raise failures.pop()
            send(self, *command, **options)  # type: ignore[no-untyped-call]

        monkeypatch.setattr(redis.Connection, "send_command", send_but_once)
        connections = connect(retry_on_timeout=True)
        connections.tell("SET", "key", "value", refused=refusals.append)
        assert connections.ask("GET", "key") == redis_client.get("key") == b"value"
        assert (failures, refusals) == ([], [])

    def test_waits_once_for_a_redis_that_is_frozen(
        self, connections: OwnConnections, refusals: list[redis.RedisError], frozen: Callable[[], None]
    ) -> None:
        connections.ask("PING")
        frozen()
        connections.tell("SET", "one", "1", refused=refusals.append)
        with pytest.raises(redis.TimeoutError) as raised:
            connections.tell("SET", "two", "2", refused=refusals.append)
        assert refusals == [raised.value]

    def test_owes_nobody_the_answer_to_an_interrupted_command(
        self, connections: OwnConnections, refusals: list[redis.RedisError], interrupted: Callable[[], None],
        full: Callable[[], object],
    ) -> None:  # fmt: skip
        full()
        interrupted()
        with suppress(KeyboardInterrupt):
            connections.tell("SET", "key", "value", refused=refusals.append)
            connections.ask("ECHO", "interrupted")
        assert connections.ask("ECHO", "word") == b"word"
        assert refusals == []


class TestScript:
    TEXT = "return {KEYS[1], ARGV[1]}"

    def test_is_run(self, connections: OwnConnections) -> None:
        assert connections.script(self.TEXT)(keys=["key"], args=[7]) == [b"key", b"7"]

    def test_is_sent_whole_where_redis_does_not_know_it(
        self, connections: OwnConnections, redis_client: redis.Redis
    ) -> None:
        script = connections.script(self.TEXT)
        script(keys=["key"], args=[7])
        redis_client.script_flush()
        assert script(keys=["key"], args=[8]) == [b"key", b"8"]
        assert redis_client.info("commandstats")["cmdstat_eval"]["calls"] > 0
        before = redis_client.info("commandstats")["cmdstat_eval"]["calls"]
        script(keys=["key"], args=[9])
        assert redis_client.info("commandstats")["cmdstat_eval"]["calls"] == before
