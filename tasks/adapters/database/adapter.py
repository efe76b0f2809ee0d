"""The service `database`: one statement of the operator's, asked with parameters of a step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from procos.domain.errors import TaskError
from tasks.adapters.adapter import Adapter, Call, Connection, Health, Operation, operation
from tasks.adapters.database.connection import DatabaseConnection
from tasks.adapters.database.query import Query, Rows
from tasks.adapters.database.statements import sql_of

if TYPE_CHECKING:
    from pydantic import BaseModel

HEALTH_SECONDS = 5.0


class Database(Adapter):
    """PostgreSQL or SQLite."""

    name: ClassVar[str] = "database"
    connection: ClassVar[type[Connection]] = DatabaseConnection

    @operation(repeatable=True)
    def query(self, query: Query, call: Call) -> Rows:
        """Run one statement in a transaction of its own, and return its rows."""
        from tasks.adapters.database.dialect import Time
        from tasks.adapters.database.execution import executed
        from tasks.adapters.database.parameters import bound

        sql = sql_of(query, self._connection)
        clause, values = bound(sql, query.parameters, key=call.idempotency_key)
        return executed(
            clause,
            values,
            self._connection,
            Time.of(self._connection.statement_timeout, call),
            is_repeatable=self._may_run_twice(query),
        )

    def is_repeatable(self, operation: Operation, parameters: BaseModel) -> bool:
        """Whether a statement may run twice: where nothing can be written, or the operator says so of it."""
        return super().is_repeatable(operation, parameters) and (
            not isinstance(parameters, Query) or self._may_run_twice(parameters)
        )

    def health_check(self) -> Health:
        """Ask the database for its version."""
        from tasks.adapters.database.dialect import Time, place_of
        from tasks.adapters.database.engines import dialect_of, url_of
        from tasks.adapters.database.execution import executed
        from tasks.adapters.database.parameters import bound

        began = time.monotonic()
        call = Call(deadline=began + HEALTH_SECONDS, idempotency_key="")
        try:
            url = url_of(self._connection)
            clause, values = bound(f"{dialect_of(url).version_query()} AS version", {}, key="")
            limit = Time.of(HEALTH_SECONDS, call)
            found = executed(clause, values, self._connection, limit, is_repeatable=True)
            is_well, detail = True, f"{found.rows[0]['version']} at {place_of(url)}"
        except TaskError as error:
            is_well, detail = False, str(error)
        return Health(is_well=is_well, detail=detail, seconds=time.monotonic() - began)

    def _may_run_twice(self, query: Query) -> bool:
        return not self._connection.writable or query.statement in self._connection.repeatable
