"""Topic `database_query`: asks a database a statement the operator has named, and returns the rows.

A step names the connection, the statement and its parameters; the SQL stands with the connection, where whoever fills a
form cannot reach it. One statement in one transaction, which only reads unless the connection says otherwise.

Running it twice is harmless where the connection only reads, and for the statements it calls `repeatable`. Any other
one is not run again where an earlier run was cut off and may have done it: that is an incident, OUTCOME_UNKNOWN. A
statement that writes under `:idempotency_key` can be made repeatable, since the key is the same in every run of a step.
"""

from __future__ import annotations

from typing import Any

from tasks.adapters.calling import called, service_of
from tasks.adapters.database.adapter import Database
from tasks.adapters.database.query import Query
from tasks.task import TaskContext, process_task


class DatabaseQueryInput(Query):
    """Which database, and what to ask of it."""

    connection: str = "database"


@process_task(topic="database_query")
def database_query(step: DatabaseQueryInput, context: TaskContext) -> dict[str, Any]:
    """Run a statement, and return the fields of `Rows`.

    Raises:
        BusinessError: INVALID_INPUT, or what stands against it in the database, such as UNIQUE_VIOLATION.
        TransientError: the database is not there, busy, or too slow now; nothing was changed.
        PermanentError: connection or statement are wrong, or OUTCOME_UNKNOWN.
    """
    database = service_of(Database, step.connection, context)
    return dict(called(database, "query", step.model_dump(exclude={"connection"}), context))
