"""What `database_query` takes for 10,000 rows beside SQLAlchemy alone, which fetches them as mappings and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy

from procos.settings import load_settings
from tasks.generic.database_query import DatabaseQueryInput, database_query
from tests.benchmarks.rows import Row
from tests.benchmarks.tasks.contexts import context_of
from tests.benchmarks.tasks.turns import milliseconds

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 10_000
MOST_TIMES = 1.5
FILL = """
CREATE TABLE orders AS SELECT number AS id, 'customer ' || number AS customer, number * 1.25 AS total,
  TIMESTAMP '2026-11-29 08:00:00' + number * INTERVAL '1 minute' AS placed_at, number % 2 = 0 AS paid
FROM generate_series(1, 10000) AS number
"""
FILL_SQLITE = """
CREATE TABLE orders AS WITH RECURSIVE numbers(number) AS
  (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 10000)
SELECT number AS id, 'customer ' || number AS customer, number * 1.25 AS total,
  datetime('2026-11-29', '+' || number || ' minutes') AS placed_at, number % 2 = 0 AS paid FROM numbers
"""
STATEMENT = "SELECT id, customer, total, placed_at, paid FROM orders ORDER BY id"


def measure(postgres: str, folder: Path, *, rounds: int, calls: int) -> list[Row]:
    """Return a row for each database."""
    places = {
        "PostgreSQL": (postgres.replace("postgresql://", "postgresql+psycopg://", 1), FILL),
        "SQLite": (f"sqlite:///{folder / 'orders.db'}", FILL_SQLITE),
    }
    return [_measured(name, url, fill, rounds=rounds, calls=calls) for name, (url, fill) in places.items()]


def _measured(name: str, url: str, fill: str, *, rounds: int, calls: int) -> Row:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(fill))
    names = {
        "PROCOS_CONNECTIONS__SHOP__TYPE": "database",
        "PROCOS_CONNECTIONS__SHOP__URL": url,
        "PROCOS_CONNECTIONS__SHOP__ROW_LIMIT": str(ROWS),
        "PROCOS_CONNECTIONS__SHOP__STATEMENTS": f'{{"all_orders": "{STATEMENT}"}}',
    }
    context = context_of("database_query", load_settings(names, dotenv=None))

    def ours() -> int:
        return len(database_query(DatabaseQueryInput(connection="shop", statement="all_orders"), context)["rows"])

    def bare() -> int:
        with engine.connect() as connection:
            return len([dict(row) for row in connection.execute(sqlalchemy.text(STATEMENT)).mappings()])

    assert ours() == bare() == ROWS
    spent = milliseconds({"ours": ours, "bare": bare}, rounds=rounds, calls=calls)
    engine.dispose()
    return Row(
        measure=f"database_query of {ROWS:,} rows ÷ SQLAlchemy alone, {name}",
        figure=spent["ours"] / spent["bare"],
        unit="times",
        bound=MOST_TIMES,
        details=f"{spent['ours']:.1f} against {spent['bare']:.1f} ms, {rounds} rounds of {calls}",
    )
