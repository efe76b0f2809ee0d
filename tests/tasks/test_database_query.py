"""Topic database_query and its adapter, on SQLite: what a step gets, what it may not ask, and what runs twice."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from procos.domain.errors import BusinessError, PermanentError, StepCancelled, TransientError
from procos.settings import load_settings
from tasks.adapters.database.adapter import Database
from tasks.adapters.database.connection import DatabaseConnection
from tasks.adapters.database.dialect import Time
from tasks.adapters.database.engines import url_of
from tasks.adapters.database.sqlite import SQLite
from tasks.adapters.database.values import json_column, json_value
from tasks.generic.database_query import DatabaseQueryInput, database_query
from tests.tasks.database_samples import STATEMENTS, ask, connection, shop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.context import TaskContext


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return shop(tmp_path)


@pytest.fixture
def step(file: Path, context_with: Callable[..., TaskContext]) -> TaskContext:
    names = {
        "PROCOS_CONNECTIONS__DATABASE__TYPE": "database",
        "PROCOS_CONNECTIONS__DATABASE__URL": f"sqlite:///{file}",
        "PROCOS_CONNECTIONS__DATABASE__STATEMENTS": json.dumps(STATEMENTS),
        "PROCOS_CONNECTIONS__DESK__TYPE": "database",
        "PROCOS_CONNECTIONS__DESK__URL": f"sqlite:///{file}",
        "PROCOS_CONNECTIONS__DESK__WRITABLE": "true",
        "PROCOS_CONNECTIONS__DESK__REPEATABLE": '["order_once"]',
        "PROCOS_CONNECTIONS__DESK__STATEMENTS": json.dumps(STATEMENTS),
    }
    return context_with(load_settings(names, dotenv=None))


def asked(context: TaskContext, **variables: Any) -> dict[str, Any]:
    return dict(database_query(DatabaseQueryInput.model_validate(variables), context))


def count(file: Path, table: str) -> int:
    with closing(sqlite3.connect(file)) as driver:
        found: int = driver.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  # a name of the test
        return found


class TestTopic:
    def test_returns_rows_as_objects(self, step: TaskContext) -> None:
        assert asked(step, statement="customer", parameters={"id": 1}) == {
            "rows": [{"id": 1, "name": "Ada"}],
            "columns": ["id", "name"],
            "row_count": 1,
            "truncated": False,
        }

    def test_takes_parameters_as_a_model_writes_them(self, step: TaskContext) -> None:
        assert asked(step, statement="customer", parameters='{"id": 2}')["rows"] == [{"id": 2, "name": "Bob"}]

    def test_finds_nothing_without_ado(self, step: TaskContext) -> None:
        found = asked(step, statement="customer", parameters={"id": 99})
        assert (found["rows"], found["columns"], found["row_count"]) == ([], ["id", "name"], 0)

    def test_reads_again_what_an_earlier_run_may_have_read(self, step: TaskContext) -> None:
        again = replace(step, started_before=True)
        assert asked(again, statement="customer", parameters={"id": 1})["row_count"] == 1

    def test_does_not_write_again_what_an_earlier_run_may_have_written(self, step: TaskContext, file: Path) -> None:
        again = replace(step, started_before=True)
        with pytest.raises(PermanentError, match="an earlier run of this step was cut off") as raised:
            asked(again, connection="desk", statement="order", parameters={"customer": 1, "note": "x"})
        assert raised.value.code == "OUTCOME_UNKNOWN"
        assert count(file, "orders") == 3

    def test_writes_again_what_the_operator_calls_repeatable(self, step: TaskContext, file: Path) -> None:
        for context in (step, replace(step, started_before=True)):
            asked(context, connection="desk", statement="order_once", parameters={"customer": 1})
        assert count(file, "orders") == 4

    @pytest.mark.parametrize("variables", [{}, {"statement": "a", "sql": "b"}, {"statement": "a", "parameters": "[1"}])
    def test_needs_one_statement_and_an_object_of_parameters(self, variables: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            DatabaseQueryInput.model_validate(variables)


class TestStatements:
    def test_stand_in_files_too(self, file: Path, tmp_path: Path) -> None:
        folder = tmp_path / "statements"
        folder.mkdir()
        (folder / "notes.sql").write_text("-- what customers say\nSELECT note FROM orders WHERE id = :id;\n")
        place = connection(file, statements_directory=folder)
        assert ask(place, statement="notes", parameters={"id": 12})["rows"] == [{"note": "50 %"}]

    def test_are_named_where_one_is_unknown(self, file: Path) -> None:
        with pytest.raises(PermanentError, match=r"no statement 'custmer'; .*; did you mean customer\?") as raised:
            ask(connection(file), statement="custmer")
        assert raised.value.code == "STATEMENT_UNKNOWN"

    def test_of_a_model_need_a_word_of_the_operator(self, file: Path) -> None:
        with pytest.raises(PermanentError, match="free_statements") as raised:
            ask(connection(file), sql="SELECT 1 AS one")
        assert raised.value.code == "STATEMENT_DENIED"
        assert ask(connection(file, free_statements=True), sql="SELECT 1 AS one")["rows"] == [{"one": 1}]

    def test_may_have_percent_signs_colons_and_casts(self, file: Path) -> None:
        sql = "SELECT '10:30' AS time, 5 % 3 AS rest, 'a' LIKE '%' AS is_like"
        assert ask(connection(file, free_statements=True), sql=sql)["rows"] == [
            {"time": "10:30", "rest": 2, "is_like": 1}
        ]

    def test_refuse_two_columns_of_one_name(self, file: Path) -> None:
        sql = "SELECT customers.id, orders.id FROM customers JOIN orders ON customer = customers.id"
        with pytest.raises(PermanentError, match="more than one column called 'id'; name them apart with AS"):
            ask(connection(file, free_statements=True), sql=sql)


class TestParameters:
    def test_expand_where_the_statement_says_in(self, file: Path) -> None:
        assert ask(connection(file), statement="customers", parameters={"ids": [3, 1]})["row_count"] == 2
        assert ask(connection(file), statement="customers", parameters={"ids": []})["row_count"] == 0

    @pytest.mark.parametrize("value", [None, True, 5, -(2**63), 1.5, "Ωa'\";--", "", {"a": [1, {"b": None}]}])
    def test_arrive_as_they_are(self, file: Path, value: Any) -> None:
        (row,) = ask(connection(file), statement="echo", parameters={"value": value})["rows"]
        found = json.loads(row["value"]) if isinstance(value, dict) else row["value"]
        assert found == (str(value) if value == -(2**63) else value)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({}, "the statement needs ids"),
            ({"ids": [1], "other": 2, "a b": 3}, r"the statement has no \(a name that is none\), other"),
            ({"ids": 1}, "parameters.ids: expected a list"),
            ({"ids": [[1]]}, "parameters.ids: an item is a list or an object"),
            ({"ids": list(range(1001))}, "parameters.ids: has more than 1000 items"),
        ],
    )
    def test_are_named_where_they_are_wrong(self, file: Path, parameters: dict[str, Any], message: str) -> None:
        with pytest.raises(BusinessError, match=message) as raised:
            ask(connection(file), statement="customers", parameters=parameters)
        assert raised.value.code == "INVALID_INPUT"


class TestLimits:
    def test_cut_rows_and_say_so(self, file: Path) -> None:
        found = ask(connection(file, row_limit=2), statement="all_customers")
        assert (found["rows"], found["truncated"]) == ([{"id": 1}, {"id": 2}], True)
        assert ask(connection(file, row_limit=3), statement="all_customers")["truncated"] is False

    def test_cut_bytes_and_say_so(self, file: Path) -> None:
        place = connection(file, byte_limit=1024, free_statements=True)
        found = ask(place, sql="SELECT hex(zeroblob(150)) AS h FROM orders")
        assert (found["row_count"], found["truncated"]) == (3, False)
        found = ask(place, sql="SELECT hex(zeroblob(200)) AS h FROM orders")
        assert (found["row_count"], found["truncated"]) == (2, True)

    def test_refuse_a_row_that_is_too_large_alone(self, file: Path) -> None:
        place = connection(file, byte_limit=1024, free_statements=True)
        with pytest.raises(PermanentError, match="the first row alone has more than 1024 bytes"):
            ask(place, sql="SELECT hex(zeroblob(300)) AS a, hex(zeroblob(300)) AS b")

    def test_tell_a_signal_from_the_end_of_time(self) -> None:
        interrupted = sqlite3.OperationalError("interrupted")
        interrupted.sqlite_errorname = "SQLITE_INTERRUPT"
        limit = Time(seconds=5.0, until=float("inf"), cut=float("inf"))
        found = SQLite().failed(interrupted, connection(Path("/a")), limit)
        assert isinstance(found, StepCancelled)

    def test_leave_no_time_to_a_call_that_has_none(self, file: Path) -> None:
        with pytest.raises(TransientError) as raised:
            ask(connection(file), seconds=0.0, statement="all_customers")
        assert raised.value.code == "STATEMENT_TIMEOUT"


class TestWrites:
    def test_are_committed_and_counted(self, file: Path) -> None:
        done = ask(connection(file, writable=True), statement="rename", parameters={"id": 1, "name": "Zoe"})
        assert done == {"rows": [], "columns": [], "row_count": 1, "truncated": False}
        assert ask(connection(file), statement="by_name", parameters={"name": "Zoe"})["rows"] == [{"id": 1}]

    @pytest.mark.parametrize(
        ("repeatable", "kind", "code"),
        [(["rename"], TransientError, "DATABASE_UNREACHABLE"), ([], PermanentError, "OUTCOME_UNKNOWN")],
    )
    def test_that_may_have_been_committed_are_not_said_to_have_changed_nothing(
        self,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
        repeatable: list[str],
        kind: type[TransientError | PermanentError],
        code: str,
    ) -> None:
        def fail(*_: object) -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR"
            raise error

        monkeypatch.setattr(SQLite, "commit", fail)
        desk = connection(file, writable=True, repeatable=repeatable)
        with pytest.raises(kind, match="it may have been, or not") as raised:
            ask(desk, statement="rename", parameters={"id": 1, "name": "Zoe"})
        assert getattr(raised.value, "code", "") == code

    def test_return_what_they_say(self, file: Path) -> None:
        done = ask(connection(file, writable=True), statement="open", parameters={"id": 9, "name": "Joy"})
        assert done["rows"] == [{"id": 9, "name": "Joy"}]

    @pytest.mark.parametrize(
        ("sql", "code"),
        [
            ("INSERT INTO customers VALUES (1, 'Max', 0)", "UNIQUE_VIOLATION"),
            ("INSERT INTO customers VALUES (7, 'Ada', 0)", "UNIQUE_VIOLATION"),
            ("INSERT INTO customers VALUES (7, 'Max', -1)", "CHECK_VIOLATION"),
            ("INSERT INTO customers VALUES (7, NULL, 1)", "NOT_NULL_VIOLATION"),
            ("INSERT INTO orders VALUES (1, 99, NULL)", "FOREIGN_KEY_VIOLATION"),
            ("INSERT INTO customers VALUES ('secret', 'Max', 1)", "DATA_EXCEPTION"),
            ("UPDATE customers SET balance = json('secret')", "DATA_EXCEPTION"),
        ],
    )
    def test_that_data_stands_against_are_errors_a_model_may_catch(self, file: Path, sql: str, code: str) -> None:
        with pytest.raises(BusinessError) as raised:
            ask(connection(file, writable=True, free_statements=True), sql=sql)
        assert raised.value.code == code
        assert "secret" not in str(raised.value)
        assert count(file, "customers") == 3

    def test_wait_for_others_no_longer_than_they_may(self, file: Path) -> None:
        with closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TransientError, match="another program holds the file") as raised:
                ask(
                    connection(file, writable=True, lock_timeout=0.01),
                    statement="order",
                    parameters={"customer": 1, "note": ""},
                )
        assert raised.value.code == "LOCK_TIMEOUT"


class TestConnection:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({}, "expected either url, or dialect with its parts"),
            ({"url": "sqlite:////a", "dialect": "sqlite"}, "expected either url, or dialect with its parts"),
            ({"dialect": "postgresql"}, "database is missing"),
            ({"dialect": "mysql", "database": "a"}, "'postgresql' or 'sqlite'"),
            ({"url": "sqlite:////a", "statements": {"../x": "SELECT 1"}}, "small letters, digits and _"),
            ({"url": "sqlite:////a", "statements": "{"}, "expected JSON"),
        ],
    )
    def test_says_what_is_wrong_with_it(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            DatabaseConnection.model_validate({"type": "database", **fields})

    @pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "sqlite://", "sqlite:///rel.db", "no address: secret"])
    def test_refuses_other_places_without_quoting_them(self, url: str) -> None:
        with pytest.raises(PermanentError) as raised:
            url_of(DatabaseConnection.model_validate({"type": "database", "url": url}))
        assert raised.value.code == "CONNECTION_INVALID"
        assert "secret" not in str(raised.value)

    def test_does_not_make_the_file_that_is_not_there(self, tmp_path: Path) -> None:
        place = connection(tmp_path / "none.db", writable=True)
        with pytest.raises(PermanentError, match=r"the file none\.db cannot be opened") as raised:
            ask(place, statement="all_customers")
        assert raised.value.code == "DATABASE_MISSING"
        assert not (tmp_path / "none.db").exists()

    def test_says_that_a_file_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "text.db").write_text("no database at all, " * 100)
        with pytest.raises(PermanentError) as raised:
            ask(connection(tmp_path / "text.db"), statement="all_customers")
        assert raised.value.code == "DATABASE_DAMAGED"

    def test_is_well_or_says_why_not(self, file: Path, tmp_path: Path) -> None:
        well, ill = (Database(connection(place)).health_check() for place in (file, tmp_path / "none.db"))
        assert (well.is_well, well.detail.startswith("SQLite 3.")) == (True, True)
        assert (ill.is_well, "cannot be opened" in ill.detail) == (False, True)


class TestValues:
    def test_keep_their_digits_as_text(self) -> None:
        assert json_column([1, 2**53]) == [1, 2**53]
        assert json_column([1, 2**53 + 1, None]) == [1, "9007199254740993", None]
        assert json_column([1.5, float("nan"), float("-inf")]) == [1.5, "NaN", "-Infinity"]

    def test_are_what_json_knows_at_any_depth(self) -> None:
        assert json_value({"a": (b"\0\1", [2**60])}) == {"a": ["AAE=", [str(2**60)]]}
