"""The route of this round; named by the entry point group `procos.routes`."""

import os

from procos.domain.external_task import Topic
from procos.routes import Route

TOPIC = os.environ.get("BENCH_TOPIC", "bench")

ROUTES = {
    Topic(TOPIC): Route(
        task_name="bench.work",
        queue=os.environ.get("BENCH_QUEUE", "generic"),
        module="bench_tasks.work",
        variables=("number",),
        source="bench-tasks",
    )
}
