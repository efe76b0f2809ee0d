"""The Python client most people choose, one process of it: works on one topic until it is ended.

    python python3_client.py '{"rest": …, "topic": …, "worker": …, "seconds": 0, "runs": null, "lock": …, "tasks": 100}'

Runs in an environment of its own, which has that client and nothing of ours.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Subscribe, for as long as the process lives."""
    from camunda.external_task.external_task_worker import ExternalTaskWorker  # type: ignore[import-not-found]  # not in our environment

    logging.disable(logging.CRITICAL)
    work = json.loads(sys.argv[1])
    runs = Path(work["runs"]) if work["runs"] else None

    def handle(task: Any) -> Any:
        if runs is not None:
            with runs.open("a") as lines:
                lines.write(task.get_task_id() + "\n")
        if work["seconds"]:
            time.sleep(work["seconds"])
        return task.complete({"answer": str(task.get_variable("number"))})

    config = {
        "maxTasks": work["tasks"],
        "lockDuration": work["lock"],
        "asyncResponseTimeout": 5000,
        "sleepSeconds": 1,
    }
    ExternalTaskWorker(worker_id=work["worker"], base_url=work["rest"], config=config).subscribe(work["topic"], handle)


if __name__ == "__main__":
    main()
