"""A small shop in SQLite, and a way to ask it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tasks.adapters.database.adapter import Database
from tasks.adapters.database.connection import DatabaseConnection

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, balance REAL CHECK (balance >= 0));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers (id), note TEXT);
INSERT INTO customers VALUES (1, 'Ada', 10.5), (2, 'Bob', 0), (3, 'Eve', 7);
INSERT INTO orders VALUES (10, 1, 'first'), (11, 1, NULL), (12, 2, '50 %');
"""
STATEMENTS = {
    "customer": "SELECT id, name FROM customers WHERE id = :id",
    "customers": "SELECT id, name FROM customers WHERE id IN :ids ORDER BY id",
    "by_name": "SELECT id FROM customers WHERE name = :name",
    "all_customers": "SELECT id FROM customers ORDER BY id;",
    "echo": "SELECT :value AS value",
    "rename": "UPDATE customers SET name = :name WHERE id = :id",
    "open": "INSERT INTO customers (id, name) VALUES (:id, :name) RETURNING id, name",
    "order": "INSERT INTO orders (customer, note) VALUES (:customer, :note)",
    "order_once": "INSERT INTO orders (customer, note) SELECT :customer, :idempotency_key "
    "WHERE NOT EXISTS (SELECT 1 FROM orders WHERE note = :idempotency_key)",
}


def shop(folder: Path) -> Path:
    """Make the file of the shop."""
    file = folder / "shop.db"
    with closing(sqlite3.connect(file)) as driver:
        driver.executescript(SHOP)
    return file


def connection(file: Path, **fields: Any) -> DatabaseConnection:
    """Return what an operator would say of the shop."""
    return DatabaseConnection.model_validate(
        {"type": "database", "dialect": "sqlite", "database": str(file), "statements": STATEMENTS, **fields}
    )


def ask(connection: DatabaseConnection, seconds: float = 20.0, **query: Any) -> dict[str, Any]:
    """Ask, and return what a step would get."""
    deadline = time.monotonic() + seconds
    return dict(Database(connection).call_service("query", query, deadline=deadline, idempotency_key="step-1"))
