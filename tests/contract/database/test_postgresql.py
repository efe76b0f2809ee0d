"""Adapter `database` on PostgreSQL: values, limits, errors, pools, and what is known after a connection broke."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError, StepCancelled, TaskError, TransientError
from tasks.adapters.database.adapter import Database
from tasks.adapters.database.engines import engine_of, url_of
from tests.contract.database.relay import Relay
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tasks.adapters.database.connection import DatabaseConnection

    Ask = Callable[..., dict[str, Any]]
    Place = Callable[..., DatabaseConnection]

SECRET = "a-value-nobody-may-read"
ORDER = "INSERT INTO orders (customer, note) VALUES (:customer, :note)"


def orders(superuser: psycopg.Connection[Any], note: str) -> int:
    found = superuser.execute("SELECT count(*) FROM orders WHERE note = %s", [note]).fetchone()
    assert found
    return int(found[0])


class TestValues:
    @pytest.mark.parametrize(
        ("sql", "value"),
        [
            ("1.10::numeric", "1.10"),
            ("0.0000001::numeric", "0.0000001"),
            ("'NaN'::numeric", "NaN"),
            ("'-Infinity'::float8", "-Infinity"),
            ("9007199254740992", 2**53),
            ("9007199254740993", "9007199254740993"),
            ("timestamptz '2026-11-29 08:00:00.5+02'", "2026-11-29T06:00:00.5+00:00"),
            ("timestamp '2026-11-29 08:00:00'", "2026-11-29T08:00:00"),
            ("timestamptz 'infinity'", "infinity"),
            ("date '2026-11-29'", "2026-11-29"),
            ("interval '1 month 2 days 03:04:05'", "P1M2DT3H4M5S"),
            ("'6c5b7c31-e751-11f1-a0fe-02fc00000001'::uuid", "6c5b7c31-e751-11f1-a0fe-02fc00000001"),
            ("'\\x00ff'::bytea", "AP8="),
            ("'{\"a\": [1, null, 9007199254740993]}'::jsonb", {"a": [1, None, "9007199254740993"]}),
            ("ARRAY[[1, 2], [3, NULL]]", [[1, 2], [3, None]]),
            ("ARRAY[timestamptz '2026-11-29 08:00:00Z']", ["2026-11-29T08:00:00+00:00"]),
            ("int4range(1, 5)", "[1,5)"),
            ("true", True),
            ("NULL", None),
            ("'::1'::inet", "::1"),
            ("'50 %'", "50 %"),
        ],
    )
    def test_arrive_as_json_and_whole(self, ask: Ask, sql: str, value: Any) -> None:
        assert ask(f"SELECT {sql} AS value")["rows"] == [{"value": value}]

    @pytest.mark.parametrize("value", ["x' OR 1=1", "Ω", None])
    def test_go_as_they_are(self, ask: Ask, value: str | None) -> None:
        assert ask("SELECT CAST(:value AS text) AS value", {"value": value})["rows"] == [{"value": value}]

    @pytest.mark.parametrize("value", [5, -(2**31), 2**53, -1.5, True])
    def test_go_with_their_type(self, ask: Ask, value: float) -> None:
        found = ask("SELECT :value AS value, pg_typeof(:value)::text AS type", {"value": value})["rows"][0]
        assert found["value"] == value
        assert found["type"] != "text"

    def test_expand_a_list_and_write_an_object_as_json(self, ask: Ask) -> None:
        assert ask("SELECT id FROM customers WHERE id IN :ids ORDER BY id", {"ids": [3, 1, 99]})["row_count"] == 2
        assert ask("SELECT id FROM customers WHERE id IN :ids", {"ids": []})["rows"] == []
        assert ask("SELECT CAST(:o AS jsonb) -> 'a' AS a", {"o": {"a": ["Ω", 1]}})["rows"] == [{"a": ["Ω", 1]}]


class TestLimits:
    def test_stop_a_statement_in_time(self, ask: Ask) -> None:
        with pytest.raises(TransientError, match=r"longer than 0\.1 s") as raised:
            ask("SELECT pg_sleep(60)", statement_timeout=0.1)
        assert raised.value.code == "STATEMENT_TIMEOUT"

    def test_stop_it_where_the_call_has_less_time(self, ask: Ask) -> None:
        with pytest.raises(TransientError) as raised:
            ask("SELECT pg_sleep(60)", seconds=0.5)
        assert raised.value.code == "STATEMENT_TIMEOUT"

    def test_stop_waiting_for_a_server_that_says_nothing(self, ask: Ask, postgres_port: int) -> None:
        with Relay(postgres_port, b"deaf", hears=True) as relay, socket.create_server(("127.0.0.1", 0)) as silent:
            with pytest.raises(TransientError):
                ask("SELECT 'deaf' AS x", port=relay.port, seconds=3)
            with pytest.raises(TransientError, match="cannot be reached"):
                ask("SELECT 1 AS x", port=silent.getsockname()[1], connect_timeout=2)

    def test_cut_rows_and_bytes(self, ask: Ask) -> None:
        found = ask("SELECT g FROM generate_series(1, 1000000) AS g", row_limit=3000)
        assert (found["row_count"], found["rows"][-1], found["truncated"]) == (3000, {"g": 3000}, True)
        found = ask("SELECT repeat('x', 1000) AS x FROM generate_series(1, 1000000)", byte_limit=100_000)
        assert (found["row_count"], found["truncated"]) == (99, True)

    def test_do_not_wait_for_a_lock_for_ever(self, ask: Ask, superuser: psycopg.Connection[Any]) -> None:
        with superuser.transaction():
            superuser.execute("LOCK TABLE customers")
            with pytest.raises(TransientError) as raised:
                ask("SELECT id FROM customers", lock_timeout=0.05)
        assert raised.value.code == "LOCK_TIMEOUT"


class TestCancelledSteps:
    def test_take_their_statement_with_them(self, ask: Ask, superuser: psycopg.Connection[Any]) -> None:
        running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        main = threading.main_thread().ident
        assert main

        def interrupt() -> None:
            wait_until(lambda: superuser.execute(running).fetchone() == (1,), 10, what="the statement runs")
            signal.pthread_kill(main, signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, _cancel)
        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        try:
            with pytest.raises(StepCancelled):
                ask("SELECT pg_sleep(20)", seconds=100)
        finally:
            signal.signal(signal.SIGUSR1, before)
            interrupting.join(10)
        wait_until(lambda: superuser.execute(running).fetchone() == (0,), 5, what="the server has stopped")


def _cancel(*_: object) -> None:
    raise StepCancelled("the step was cancelled")


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "code"),
        [
            ("INSERT INTO customers VALUES (1, 'a-value-nobody-may-read', 0)", "UNIQUE_VIOLATION"),
            ("INSERT INTO customers VALUES (9, 'a-value-nobody-may-read', -1)", "CHECK_VIOLATION"),
            ("INSERT INTO customers VALUES (9, NULL, 1)", "NOT_NULL_VIOLATION"),
            ("INSERT INTO orders (customer, note) VALUES (999, 'a-value-nobody-may-read')", "FOREIGN_KEY_VIOLATION"),
            ("INSERT INTO stays VALUES (1, '[1,5)'), (1, '[2,3)')", "EXCLUSION_VIOLATION"),
            ("SELECT refuse('a-value-nobody-may-read')", "RAISED_EXCEPTION"),
            ("SELECT 1 / 0", "DATA_EXCEPTION"),
            ("INSERT INTO customers VALUES (CAST('a-value-nobody-may-read' AS int))", "DATA_EXCEPTION"),
        ],
    )
    def test_of_data_are_for_the_model_to_catch(self, ask: Ask, sql: str, code: str) -> None:
        with pytest.raises(BusinessError) as raised:
            ask(sql, writable=True)
        assert raised.value.code == code
        assert SECRET not in str(raised.value)

    @pytest.mark.parametrize(
        ("sql", "code", "words"),
        [
            ("FIND 1", "STATEMENT_INVALID", 'syntax error at or near "FIND"'),
            ("SELECT nope FROM customers", "STATEMENT_INVALID", 'column "nope" does not exist'),
            ("SELECT 1 FROM nowhere", "STATEMENT_INVALID", 'relation "nowhere" does not exist'),
            ("SELECT 1 AS a, 2 AS a", "STATEMENT_INVALID", "name them apart with AS"),
            ("SELECT * FROM pg_authid", "PERMISSION_DENIED", "permission denied"),
            ("SELECT nextval('orders_id_seq')", "READ_ONLY", "writable = true"),
        ],
    )
    def test_of_statements_are_for_the_operator_to_mend(self, ask: Ask, sql: str, code: str, words: str) -> None:
        with pytest.raises(PermanentError, match=words) as raised:
            ask(sql)
        assert raised.value.code == code

    @pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "53300", "57P03"])
    def test_that_pass_are_tried_again(self, ask: Ask, code: str) -> None:
        with pytest.raises(TransientError) as raised:
            ask("SELECT refuse_as(:code, :word)", {"code": code, "word": SECRET})
        assert SECRET not in str(raised.value)

    @pytest.mark.parametrize("code", ["42501", "42601", "22023", "XX000", "P0002", "AB123", "28000"])
    def test_of_functions_quote_nobody(self, ask: Ask, code: str) -> None:
        with pytest.raises(TaskError) as raised:
            ask("SELECT refuse_as(:code, :word)", {"code": code, "word": SECRET})
        assert SECRET not in str(raised.value)

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"user": "nobody_here"}, "AUTH_FAILED"),
            ({"database": "nowhere"}, "DATABASE_MISSING"),
            ({"sslmode": "verify-full"}, "TLS_FAILED"),
        ],
    )
    def test_of_connecting_are_for_the_operator_to_mend(self, ask: Ask, fields: dict[str, str], code: str) -> None:
        with pytest.raises(PermanentError) as raised:
            ask("SELECT 1 AS x", **fields)
        assert raised.value.code == code

    def test_never_quote_the_address(self, ask: Ask, place: Place) -> None:
        url = f"postgresql://reader:{SECRET}@127.0.0.1:9/postgres"
        with pytest.raises(TransientError, match=r"no connection to 127\.0\.0\.1:9/postgres") as raised:
            ask("SELECT 1 AS x", url=url)
        health = Database(place(url=url)).health_check()
        assert not health.is_well
        assert SECRET not in f"{raised.value} {health.detail}"

    def test_tell_a_wrong_password(self, ask: Ask, superuser: psycopg.Connection[Any], postgres_port: int) -> None:
        rules = superuser.execute("SHOW hba_file").fetchone()
        assert rules
        with open(rules[0], "r+") as file:  # noqa: PTH123  # as the server says it
            before = file.read()
            file.seek(0)
            file.write("host all reader 127.0.0.1/32 scram-sha-256\n" + before)
        superuser.execute("SELECT pg_reload_conf()")
        right = f"postgresql://reader:a-password-of-reader@127.0.0.1:{postgres_port}/postgres"
        assert ask("SELECT count(*) AS n FROM customers", url=right)["rows"] == [{"n": 3}]
        for wrong in (right.replace("a-password", SECRET), right.replace(":a-password-of-reader", "")):
            with pytest.raises(PermanentError) as raised:
                ask("SELECT 1 AS x", url=wrong)
            assert raised.value.code == "AUTH_FAILED"
            assert SECRET not in str(raised.value)


class TestBrokenConnections:
    def test_before_the_commit_have_changed_nothing(self, ask: Ask, superuser: psycopg.Connection[Any]) -> None:
        sql = "INSERT INTO orders (customer, note) SELECT 1, 'broken' FROM pg_terminate_backend(pg_backend_pid())"
        with pytest.raises(TransientError, match="nothing was changed"):
            ask(sql, writable=True)
        assert orders(superuser, "broken") == 0

    def test_in_the_commit_leave_nobody_knowing(self, ask: Ask, superuser: psycopg.Connection[Any]) -> None:
        with pytest.raises(PermanentError, match="it may have been, or not") as raised:
            ask("INSERT INTO fatal VALUES (1)", writable=True)
        assert raised.value.code == "OUTCOME_UNKNOWN"
        assert superuser.execute("SELECT count(*) FROM fatal").fetchone() == (0,)

    @pytest.mark.parametrize(("hears", "times"), [(False, 0), (True, 1)], ids=["before", "after"])
    def test_at_the_commit_may_have_committed_or_not(
        self, ask: Ask, superuser: psycopg.Connection[Any], postgres_port: int, *, hears: bool, times: int
    ) -> None:
        note = f"cut {hears}"
        with Relay(postgres_port, b"COMMIT", hears=hears) as relay:
            with pytest.raises(PermanentError) as raised:
                ask(ORDER, {"customer": 1, "note": note}, writable=True, port=relay.port, sslmode="disable")
            assert raised.value.code == "OUTCOME_UNKNOWN"
        assert orders(superuser, note) == times

    def test_at_the_commit_of_what_is_repeatable_are_tried_again(self, place: Place, postgres_port: int) -> None:
        with Relay(postgres_port, b"COMMIT", hears=False) as relay:
            desk = place(
                writable=True,
                port=relay.port,
                sslmode="disable",
                statements={"touch": "UPDATE orders SET note = note"},
                repeatable=["touch"],
            )
            with pytest.raises(TransientError, match="it may have been, or not"):
                Database(desk).call_service("query", {"statement": "touch"}, deadline=_soon(), idempotency_key="a")

    def test_of_the_pool_are_replaced_unseen(self, ask: Ask, superuser: psycopg.Connection[Any]) -> None:
        (row,) = ask("SELECT pg_backend_pid() AS pid")["rows"]
        superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [row["pid"]])
        assert ask("SELECT pg_backend_pid() AS pid")["rows"] != [row]


class TestPool:
    def test_is_used_again_and_left_as_it_was(self, ask: Ask) -> None:
        (first,) = ask("SELECT pg_backend_pid() AS pid, pg_advisory_lock(7) IS NULL AS x", writable=True)["rows"]
        ask("SET search_path = nowhere", writable=True)
        ask("SET ROLE app", writable=True)
        (second,) = ask(
            "SELECT pg_backend_pid() AS pid, count(*) AS held, current_setting('search_path') AS path "
            "FROM pg_locks WHERE locktype = 'advisory'", writable=True,
        )["rows"]  # fmt: skip
        assert second == {"pid": first["pid"], "held": 0, "path": '"$user", public'}

    def test_says_that_it_is_empty(self, ask: Ask, superuser: psycopg.Connection[Any]) -> None:
        with superuser.transaction():
            superuser.execute("LOCK TABLE customers")
            waiting = threading.Thread(target=_quietly, args=(ask, "SELECT id FROM customers"))
            waiting.start()
            try:
                _await_lock(superuser)
                with pytest.raises(TransientError) as raised:
                    ask("SELECT 1 AS x", pool_size=1, connect_timeout=2)
                assert raised.value.code == "POOL_BUSY"
            finally:
                superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
                waiting.join(10)

    def test_is_not_shared_with_a_child(self, ask: Ask, place: Place) -> None:
        (mine,) = ask("SELECT pg_backend_pid() AS pid")["rows"]
        read, write = os.pipe()
        if not (child := os.fork()):
            (theirs,) = ask("SELECT pg_backend_pid() AS pid")["rows"]
            os.write(write, str(theirs["pid"]).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert int(os.read(read, 20)) != mine["pid"]
        assert ask("SELECT pg_backend_pid() AS pid")["rows"] == [mine]
        assert engine_of(place(), url_of(place())).pool.status()

    def test_is_well_or_says_why_not(self, place: Place) -> None:
        well = Database(place()).health_check()
        assert (well.is_well, well.detail.startswith("PostgreSQL ")) == (True, True)


def _quietly(ask: Ask, sql: str) -> None:
    with pytest.raises(TransientError):
        ask(sql, pool_size=1, connect_timeout=2)


def _await_lock(superuser: psycopg.Connection[Any]) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    wait_until(lambda: superuser.execute(waiting).fetchone() != (0,), 10, what="somebody waits for the lock")


def _soon() -> float:
    return time.monotonic() + 10
