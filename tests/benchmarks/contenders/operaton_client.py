"""A Python client that works on many tasks at once, by asyncio: works on one topic until it is ended.

    python operaton_client.py '{"topic": …, "seconds": 0.2}'     (the engine's address comes by ENGINE_REST_BASE_URL)

Runs in an environment of its own, which has that client and nothing of ours.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def main() -> None:
    """Subscribe, for as long as the process lives."""
    # None of these is in our environment.
    from operaton.tasks import external_task_worker, task  # type: ignore[import-not-found]
    from operaton.tasks.config import handlers  # type: ignore[import-not-found]
    from operaton.tasks.runtime import ExternalTaskComplete  # type: ignore[import-not-found]
    from operaton.tasks.types import CompleteExternalTaskDto, VariableValueDto  # type: ignore[import-not-found]

    work = json.loads(sys.argv[1])

    async def handle(given: Any) -> Any:
        await asyncio.sleep(work["seconds"])
        answer = VariableValueDto(value=str(given.variables["number"].value), type="String")
        response = CompleteExternalTaskDto(workerId=given.workerId, variables={"answer": answer})
        return ExternalTaskComplete(task=given, response=response)

    task(work["topic"], localVariables=False)(handle)
    asyncio.run(external_task_worker(handlers=handlers))


if __name__ == "__main__":
    main()
