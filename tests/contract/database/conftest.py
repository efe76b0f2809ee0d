"""A PostgreSQL of our own, with a shop, and users who may do little."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tasks.adapters.database.adapter import Database
from tasks.adapters.database.connection import DatabaseConnection
from tests.availability import require
from tests.chaos.postgres import missing, running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from procos.kernel.ports import Ports

SHOP = """
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL UNIQUE, balance numeric CHECK (balance >= 0));
CREATE TABLE orders (
    id serial PRIMARY KEY, note text,
    customer bigint NOT NULL REFERENCES customers (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE stays (room int, during int4range, EXCLUDE USING gist (during WITH &&));
CREATE TABLE fatal (id int PRIMARY KEY);
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER die_in_commit AFTER INSERT ON fatal DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION die();
CREATE FUNCTION wipe() RETURNS bigint LANGUAGE sql AS $$ DELETE FROM orders RETURNING customer $$;
CREATE FUNCTION refuse(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no %', $1; END $$;
CREATE FUNCTION refuse_as(code text, word text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no %', word USING ERRCODE = code; END $$;
INSERT INTO customers VALUES (1, 'Ada', 10.50), (2, 'Bob', 0), (3, 'Eve', 7);
INSERT INTO orders (customer, note) VALUES (1, 'first'), (1, NULL), (2, '50 %');
CREATE ROLE app LOGIN;
CREATE ROLE reader LOGIN PASSWORD 'a-password-of-reader';
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
GRANT SELECT ON customers TO reader;
"""


@pytest.fixture(scope="session")
def postgres_port(ports: Ports) -> Iterator[int]:
    """A cluster, for the length of the tests."""
    require(missing())
    port = ports.choose()
    with running_cluster(port):
        with _driver(port) as driver:
            driver.execute(SHOP)
        yield port


@pytest.fixture
def superuser(postgres_port: int) -> Iterator[psycopg.Connection[Any]]:
    """A look behind the scenes."""
    with _driver(postgres_port) as driver:
        yield driver


@pytest.fixture
def place(postgres_port: int) -> Callable[..., DatabaseConnection]:
    """Return a builder of what an operator says of the shop."""

    def build(**fields: Any) -> DatabaseConnection:
        usual = {"dialect": "postgresql", "port": postgres_port, "database": "postgres", "user": "app"}
        usual = {} if "url" in fields else usual
        return DatabaseConnection.model_validate({"type": "database", "free_statements": True, **usual, **fields})

    return build


@pytest.fixture
def ask(place: Callable[..., DatabaseConnection]) -> Callable[..., dict[str, Any]]:
    """Return a way to ask the shop: SQL, parameters, and fields of the connection."""

    def asked(sql: str, parameters: dict[str, Any] | None = None, *, seconds: float = 20.0, **fields: Any) -> Any:
        query = {"sql": sql, "parameters": parameters or {}}
        deadline = time.monotonic() + seconds
        return Database(place(**fields)).call_service("query", query, deadline=deadline, idempotency_key="step-1")

    return asked


def _driver(port: int) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True)
