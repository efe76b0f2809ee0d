"""The Python client: start processes, watch them, send messages, and let go on what waits for a person.

    from procos.client import Client

    client = Client()
    question = client.start("ai_query_process", {"user_query": "What is a process engine?"})
    for step in question.watch():
        print(step.activity.name, step.status)
    print(question.result().variables["ai_response"])

It needs no running bridge or worker of its own: the engine and Redis are enough. `procos run`, `procos processes`,
`procos incidents` and `procos retry` are made of it. `docs/python-client.md` has an example for every call.
"""

from procos.client.client import Client
from procos.client.instance import ProcessInstance
from procos.client.result import Result
from procos.client.retries import Retried
from procos.client.watching import Snapshot, StepView
from procos.engine.incidents import OpenIncident
from procos.engine.overview import ProcessSummary

__all__ = [
    "Client",
    "OpenIncident",
    "ProcessInstance",
    "ProcessSummary",
    "Result",
    "Retried",
    "Snapshot",
    "StepView",
]
