"""What hostile steps try on a database, on SQLite: each ends as an error a task may raise, and changes nothing."""

from __future__ import annotations

import hashlib
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from procos.domain.errors import BusinessError, PermanentError, TaskError, TransientError
from tasks.generic.database_query import DatabaseQueryInput
from tests.tasks.database_samples import STATEMENTS, ask, connection, shop

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) AS x FROM c"
MANY_TABLES = ", ".join(f"orders a{n}" for n in range(40))
DEEP: list[Any] = reduce(lambda inner, _: [inner], range(5000), [])
INJECTED = {
    "quote": "' OR '1'='1",
    "union": "x' UNION SELECT name FROM customers --",
    "second-statement": "x'; DROP TABLE customers; --",
    "comment": "x' /* ",
    "parameter": ":id",
    "backslash": "\\' OR 1=1 --",
    "full-width-quote": "\uff07 OR 1=1",
    "placeholder": "{{secrets.TOKEN}}",
}
NAMES = {
    "parent-folder": "../customer",
    "absolute": "/etc/passwd",
    "empty": "",
    "nul": "customer\0",
    "suffix": "customer.sql",
    "capital": "CUSTOMER",
    "newline": "customer\n",
    "long": "a" * 10_000,
    "sql": "SELECT 1",
    "dunder": "__class__",
}
REFUSED = {
    "two-statements": ("SELECT 1; DROP TABLE customers", "STATEMENT_INVALID"),
    "two-statements-behind-a-comment": ("SELECT 1 /* ; */; DELETE FROM customers", "STATEMENT_INVALID"),
    "delete": ("DELETE FROM customers", "PERMISSION_DENIED"),
    "update-returning": ("UPDATE customers SET name = 'x' RETURNING id", "PERMISSION_DENIED"),
    "write-behind-a-with": ("WITH a AS (SELECT 1) DELETE FROM customers", "PERMISSION_DENIED"),
    "drop": ("DROP TABLE customers", "PERMISSION_DENIED"),
    "temporary-table": ("CREATE TEMP TABLE t AS SELECT * FROM customers", "PERMISSION_DENIED"),
    "attach": ("ATTACH DATABASE '/tmp/other.db' AS other", "PERMISSION_DENIED"),
    "detach": ("DETACH DATABASE main", "PERMISSION_DENIED"),
    "vacuum-into": ("VACUUM INTO '/tmp/copy.db'", "STATEMENT_INVALID"),
    "pragma-write": ("PRAGMA writable_schema = 1", "PERMISSION_DENIED"),
    "pragma-query-only": ("PRAGMA query_only = 0", "PERMISSION_DENIED"),
    "pragma-function": ("SELECT * FROM pragma_database_list", "PERMISSION_DENIED"),
    "load-extension": ("SELECT load_extension('evil')", "PERMISSION_DENIED"),
    "write-file": ("SELECT writefile('/tmp/a', 'b')", "STATEMENT_INVALID"),
    "read-file": ("SELECT readfile('/etc/passwd')", "STATEMENT_INVALID"),
    "commit": ("COMMIT", "PERMISSION_DENIED"),
    "rollback": ("ROLLBACK", "PERMISSION_DENIED"),
    "savepoint": ("SAVEPOINT a", "PERMISSION_DENIED"),
    "huge-value": ("SELECT zeroblob(2000000000) AS b", "RESULT_TOO_LARGE"),
    "huge-text": ("SELECT replace(hex(zeroblob(1000000)), '0', 'aaaaaaaaaa') AS t", "RESULT_TOO_LARGE"),
    "many-columns": ("SELECT " + ", ".join(f"1 AS c{n}" for n in range(600)), "STATEMENT_INVALID"),
    "deep-expression": ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "STATEMENT_INVALID"),
    "unclosed-comment": ("SELECT 1 AS one /* ", None),
    "unclosed-text": ("SELECT 'a", "STATEMENT_INVALID"),
    "empty": (" ", "STATEMENT_INVALID"),
}
WRITABLE_REFUSED = {
    "attach": "ATTACH DATABASE '/tmp/other.db' AS other",
    "pragma": "PRAGMA writable_schema = 1",
    "vacuum-into": "VACUUM INTO '/tmp/copy.db'",
    "load-extension": "SELECT load_extension('evil')",
    "commit": "COMMIT",
    "schema-table": "UPDATE sqlite_master SET sql = ''",
}
VALUES: dict[str, Any] = {
    "nul": "a\0b",
    "half-a-surrogate-pair": "\ud800",
    "65-bits": 2**63,
    "many-digits": 10**5000,
    "not-a-number": float("nan"),
    "infinite": float("inf"),
    "list": [1],
    "nul-in-an-object": {"a": ["\0"]},
    "nul-in-a-key": {"a\0": 1},
    "deep-object": {"a": DEEP},
    "bytes": b"a",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def unchanged(file: Path) -> Any:
    before = hashlib.sha256(file.read_bytes()).digest()
    yield
    assert hashlib.sha256(file.read_bytes()).digest() == before


@pytest.mark.usefixtures("unchanged")
class TestHostileSteps:
    @pytest.mark.parametrize("text", INJECTED.values(), ids=INJECTED)
    def test_bring_no_sql_through_parameters(self, file: Path, text: str) -> None:
        assert ask(connection(file), statement="by_name", parameters={"name": text})["rows"] == []
        assert ask(connection(file), statement="customers", parameters={"ids": [text]})["rows"] == []

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_reach_no_statement_that_has_no_name(self, file: Path, tmp_path: Path, name: str) -> None:
        (tmp_path / "customer.sql").write_text("SELECT 1 AS x")
        (tmp_path / "folder").mkdir()
        place = connection(file, statements={}, statements_directory=tmp_path / "folder")
        with pytest.raises(PermanentError, match="what should name a statement is no name") as raised:
            ask(place, statement=name)
        assert raised.value.code == "STATEMENT_UNKNOWN"

    @pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 70_000], ids=["not-utf-8", "large"])
    def test_get_no_statement_of_a_file_that_is_none(self, file: Path, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "odd.sql").write_bytes(content)
        with pytest.raises(PermanentError) as raised:
            ask(connection(file, statements_directory=tmp_path), statement="odd")
        assert raised.value.code == "STATEMENT_UNREADABLE"

    def test_get_no_statement_through_a_link_out_of_the_folder(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "inner").mkdir()
        (tmp_path / "outside.sql").write_text("SELECT 1 AS x")
        (tmp_path / "inner" / "link.sql").symlink_to(tmp_path / "outside.sql")
        with pytest.raises(PermanentError, match="a link that leads out of the folder"):
            ask(connection(file, statements_directory=tmp_path / "inner"), statement="link")

    @pytest.mark.parametrize(("sql", "code"), REFUSED.values(), ids=REFUSED)
    def test_do_not_get_beyond_reading(self, file: Path, sql: str, code: str | None) -> None:
        place = connection(file, free_statements=True)
        if code is None:
            assert ask(place, sql=sql)["row_count"] == 1
            return
        with pytest.raises(PermanentError) as raised:
            ask(place, sql=sql)
        assert raised.value.code == code

    @pytest.mark.parametrize("sql", WRITABLE_REFUSED.values(), ids=WRITABLE_REFUSED)
    def test_do_not_get_beyond_the_file_where_they_may_write(self, file: Path, sql: str) -> None:
        with pytest.raises(PermanentError):
            ask(connection(file, free_statements=True, writable=True), sql=sql)

    @pytest.mark.parametrize(
        "sql",
        [ENDLESS, f"{ENDLESS} ORDER BY x", f"SELECT count(*) AS n FROM {MANY_TABLES}"],  # noqa: S608  # the test's own
        ids=["recursion", "recursion-sorted", "joins"],
    )
    def test_do_not_work_for_ever(self, file: Path, sql: str) -> None:
        with pytest.raises(TransientError) as raised:
            ask(connection(file, free_statements=True, statement_timeout=0.05), sql=sql)
        assert raised.value.code == "STATEMENT_TIMEOUT"

    def test_get_no_more_rows_than_there_is_room_for(self, file: Path) -> None:
        sql = ENDLESS.replace("max(x)", "x")
        assert ask(connection(file, free_statements=True, row_limit=50), sql=sql)["row_count"] == 50

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_bring_no_value_a_database_cannot_take(self, file: Path, value: Any) -> None:
        with pytest.raises(BusinessError, match=r"^INVALID_INPUT: parameters\.value: "):
            ask(connection(file), statement="echo", parameters={"value": value})

    @pytest.mark.parametrize("text", ["[" * 100_000, "null", "[]", '"a"', "{'a': 1}", "5", '{"a": NaN'])
    def test_bring_no_parameters_that_are_no_object(self, text: str) -> None:
        with pytest.raises(ValidationError):
            DatabaseQueryInput.model_validate({"statement": "echo", "parameters": text})

    def test_do_not_take_the_place_of_the_key_of_a_step(self, file: Path) -> None:
        with pytest.raises(BusinessError, match="the statement has no idempotency_key"):
            ask(connection(file), statement="order_once", parameters={"customer": 1, "idempotency_key": "mine"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


class TestAnyStep:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        query=st.fixed_dictionaries(
            {},
            optional={
                "statement": st.sampled_from([*STATEMENTS]) | JSON,
                "sql": st.sampled_from([*STATEMENTS.values()]) | JSON,
                "parameters": st.dictionaries(st.sampled_from(["id", "ids", "name", "value"]), JSON, max_size=3) | JSON,
            },
        )
    )
    def test_ends_as_rows_or_as_an_error_a_task_may_raise(self, file: Path, query: dict[str, Any]) -> None:
        try:
            found = ask(connection(file, free_statements=True), **query)
        except TaskError:
            return
        assert found["row_count"] == len(found["rows"])
