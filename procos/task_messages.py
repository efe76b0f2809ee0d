"""Task messages as Celery's protocol 2 has them, written without the detours of `Celery.send_task`.

`send_task` merges options, asks a router, makes a result object and fills twenty headers, most of them with nothing:
three times the CPU of all the rest of a publication. What is written here means the same to any Celery worker: left out
is what the protocol calls optional, and what its reader takes for granted. Celery's own sender publishes it, so that
its signals are sent and its retries are kept (docs/adr/0025). Source: Celery documentation, "Message Protocol".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.amqp import task_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMPLETE, FAIL = "procos.complete", "procos.fail"
"""Names no worker has registered, so that Celery queues them as messages instead of calling them."""
CALLBACKS = frozenset({COMPLETE, FAIL})


def written(
    name: str,
    celery_id: str,
    *,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object],
    headers: Mapping[str, object],
    callbacks: Sequence[Mapping[str, object]] = (),
    errbacks: Sequence[Mapping[str, object]] = (),
) -> Any:
    """Write a message that calls a task by its name; `headers` are those beyond the ones every task has.

    Returns what `celery.app.amqp.AMQP.send_task_message` takes.
    """
    always = {
        "lang": "py", "task": name, "id": celery_id, "root_id": celery_id, "parent_id": None, "group": None,
        "eta": None,  # Celery's sender looks for it when somebody listens to its signal `task_sent`
    }  # fmt: skip
    embedded = {"callbacks": list(callbacks), "errbacks": list(errbacks), "chain": None, "chord": None}
    return task_message(
        headers={**always, **headers},
        properties={"correlation_id": celery_id},
        body=(list(args), kwargs, embedded),
        sent_event=None,
    )
