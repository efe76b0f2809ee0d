"""What hostile steps try on PostgreSQL: each ends as an error a task may raise, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import PermanentError, TaskError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    Ask = Callable[..., dict[str, Any]]

INVALID, DENIED, READ_ONLY = "STATEMENT_INVALID", "PERMISSION_DENIED", "READ_ONLY"
READING = {
    "two-statements": ("SELECT 1; DROP TABLE orders", INVALID),
    "two-statements-with-a-parameter": ("SELECT 1; DELETE FROM orders WHERE id <> :id", INVALID),
    "commit-and-write": ("COMMIT; DELETE FROM orders", INVALID),
    "write-behind-a-comment": ("/* SELECT */ DELETE FROM orders", INVALID),
    "close-the-cursor": ("SELECT 1) ; DELETE FROM orders --", INVALID),
    "delete": ("DELETE FROM orders", INVALID),
    "with-delete-returning": ("WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d", INVALID),
    "select-into": ("SELECT * INTO stolen FROM customers", INVALID),
    "for-update": ("SELECT * FROM orders FOR UPDATE", READ_ONLY),
    "function-that-writes": ("SELECT wipe()", READ_ONLY),
    "nextval": ("SELECT nextval('orders_id_seq')", READ_ONLY),
    "setval": ("SELECT setval('orders_id_seq', 1)", READ_ONLY),
    "commit": ("COMMIT", INVALID),
    "set-transaction": ("SET TRANSACTION READ WRITE", INVALID),
    "set-session": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", INVALID),
    "set-config": ("SELECT set_config('transaction_read_only', 'off', true)", INVALID),
    "do-block": ("DO $$ BEGIN DELETE FROM orders; END $$", INVALID),
    "call": ("CALL nothing()", INVALID),
    "set-role": ("SET ROLE postgres", INVALID),
    "set-role-by-function": ("SELECT set_config('role', 'postgres', true)", DENIED),
    "copy-to-program": ("COPY orders TO PROGRAM 'id'", INVALID),
    "copy-to-stdout": ("COPY orders TO STDOUT", INVALID),
    "read-file": ("SELECT pg_read_file('/etc/passwd')", DENIED),
    "list-folder": ("SELECT pg_ls_dir('/')", DENIED),
    "large-object-of-a-file": ("SELECT lo_import('/etc/passwd')", None),
    "prepare": ("PREPARE a AS SELECT 1", INVALID),
    "listen": ("LISTEN a", INVALID),
    "explain-analyze-delete": ("EXPLAIN ANALYZE DELETE FROM orders", INVALID),
    "many-columns": ("SELECT " + ", ".join(f"1 AS c{n}" for n in range(600)), INVALID),
    "deep-expression": ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, INVALID),
    "unclosed-comment": ("SELECT 1 /* ", INVALID),
    "deep-json": ("SELECT (repeat('[', 3000) || repeat(']', 3000))::jsonb AS j", "VALUE_UNREADABLE"),
    "huge-row": ("SELECT repeat('x', 20000000) AS x", "RESULT_TOO_LARGE"),
}
WRITING = {
    "two-statements": ("DELETE FROM stays; SELECT 1", INVALID),
    "copy-from-program": ("COPY stays FROM PROGRAM 'id'", DENIED),
    "copy-to-program": ("COPY stays TO PROGRAM 'id'", DENIED),
    "copy-from-stdin": ("COPY stays FROM STDIN", INVALID),
    "copy-to-stdout": ("COPY stays TO STDOUT", INVALID),
    "set-role": ("SET ROLE postgres", DENIED),
    "session-authorization": ("SET SESSION AUTHORIZATION postgres", DENIED),
    "make-a-superuser": ("ALTER ROLE app SUPERUSER", DENIED),
    "extension": ("CREATE EXTENSION dblink", DENIED),
    "load-library": ("LOAD '/tmp/evil.so'", DENIED),
    "alter-system": ("ALTER SYSTEM SET archive_command = 'id'", INVALID),
    "vacuum": ("VACUUM", INVALID),
    "drop-what-is-not-theirs": ("DROP TABLE customers", DENIED),
}
ENDLESS = {
    "sleep": "SELECT pg_sleep(60)",
    "recursion": "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c",
    "no-timeout": "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
    "joins": "SELECT count(*) FROM " + ", ".join(f"pg_proc AS p{n}" for n in range(5)),  # noqa: S608  # the test's own
    "trickle": "SELECT pg_sleep(0.05), n FROM generate_series(1, 100000) AS n",
    "pattern": "SELECT repeat('a', 5000) ~ '^(((((a+)+)+)+)+)+(x)$' AND count(*) > 0 FROM generate_series(1, 1e9)",
}


@pytest.fixture
def unchanged(superuser: psycopg.Connection[Any]) -> Iterator[None]:
    look = (
        "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM customers), (SELECT last_value FROM orders_id_seq)"
    )
    before = superuser.execute(look).fetchone()
    yield
    assert superuser.execute(look).fetchone() == before
    assert superuser.execute("SELECT to_regclass('stolen')").fetchone() == (None,)


@pytest.mark.usefixtures("unchanged")
class TestHostileSteps:
    @pytest.mark.parametrize(("sql", "code"), READING.values(), ids=READING)
    def test_do_not_get_beyond_reading(self, ask: Ask, sql: str, code: str | None) -> None:
        with pytest.raises(PermanentError) as raised:
            ask(sql, {"id": 0} if ":id" in sql else {})
        assert raised.value.code == code or code is None

    @pytest.mark.parametrize(("sql", "code"), WRITING.values(), ids=WRITING)
    def test_do_not_get_beyond_their_rights_where_they_may_write(self, ask: Ask, sql: str, code: str) -> None:
        with pytest.raises(PermanentError) as raised:
            ask(sql, writable=True)
        assert raised.value.code == code

    @pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS)
    def test_do_not_work_for_ever(self, ask: Ask, sql: str) -> None:
        with pytest.raises(TransientError) as raised:
            ask(sql, statement_timeout=0.2)
        assert raised.value.code == "STATEMENT_TIMEOUT"

    @pytest.mark.parametrize("text", ["' OR '1'='1", "x'; DROP TABLE orders; --", "$1", "%s", "\\'; --", "E'\\''"])
    def test_bring_no_sql_through_parameters(self, ask: Ask, text: str) -> None:
        assert ask("SELECT id FROM customers WHERE name = :name", {"name": text})["rows"] == []
        assert ask("SELECT id FROM customers WHERE name IN :names", {"names": [text]})["rows"] == []

    @pytest.mark.parametrize("value", ["abc", "", "1e999", 2**63 - 1, True, "1; DROP TABLE orders"])
    def test_bring_values_that_do_not_fit(self, ask: Ask, value: Any) -> None:
        with pytest.raises(TaskError):
            ask("INSERT INTO stays (room) VALUES (:room)", {"room": value}, writable=True)

    @pytest.mark.parametrize("user", ["postgres"])
    def test_do_not_write_sql_of_their_own_as_a_superuser(self, ask: Ask, user: str) -> None:
        with pytest.raises(PermanentError, match="must be one that may not") as raised:
            ask("SELECT 1 AS x", user=user)
        assert raised.value.code == "CONNECTION_TOO_POWERFUL"
