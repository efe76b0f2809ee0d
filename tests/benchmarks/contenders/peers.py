"""The clients a user would choose instead, each as its users tune it.

JavaScript in one process, the usual Python client in four, and the asyncio client that does most waiting work at once.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from tests.benchmarks.contenders.contender import CLIENT, Contender, Place, Work
from tests.benchmarks.contenders.tools import HERE, MissingError, Tools
from tests.benchmarks.processes import Launch

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHON3_CLIENT, OPERATON_CLIENT = "python3_client", "operaton_client"
"""Their scripts, and the files that pin their packages."""
PROCESSES = 4
LARGEST_FETCH, LARGEST_SLOW_FETCH = 100, 10
"""Tasks of one fetch; fewer where a task takes long, since a batch is worked on one by one."""
JS_LOCK, PY3_LOCK = 60, 300
OUTAGE_INTERVAL = 1000
"""Milliseconds between the JavaScript client's polls where the engine is restarted: without a pause it spins then."""


def _javascript(place: Place, work: Work) -> Sequence[Launch]:
    order = {
        "rest": place.rest,
        "topic": work.topic,
        "seconds": work.seconds,
        "runs": str(work.runs) if work.runs else None,
        "lock": 1000 * (work.lock_seconds or JS_LOCK),
        "interval": OUTAGE_INTERVAL if work.one_each else 0,
    }
    arguments = ("node", str(place.tools.javascript()), json.dumps(order))
    return [Launch(part=CLIENT, arguments=arguments, environment=dict(os.environ))]


def _python3(place: Place, work: Work) -> Sequence[Launch]:
    largest = LARGEST_SLOW_FETCH if work.seconds else LARGEST_FETCH
    order = {
        "rest": place.rest,
        "topic": work.topic,
        "seconds": work.seconds,
        "runs": str(work.runs) if work.runs else None,
        "lock": 1000 * (work.lock_seconds or PY3_LOCK),
        "tasks": 1 if work.one_each else largest,
    }
    interpreter, script = str(place.tools.python(PYTHON3_CLIENT)), str(HERE / f"{PYTHON3_CLIENT}.py")
    return [
        Launch(
            part=CLIENT,
            arguments=(interpreter, script, json.dumps({**order, "worker": f"{work.topic}-{number}"})),
            environment=dict(os.environ),
        )
        for number in range(PROCESSES)
    ]


def _operaton(place: Place, work: Work) -> Sequence[Launch]:
    order = {"topic": work.topic, "seconds": work.seconds}
    environment = {
        **os.environ,
        "ENGINE_REST_BASE_URL": place.rest,
        "ENGINE_REST_LOCK_TTL_SECONDS": str(PY3_LOCK),
        "TASKS_WORKER_ID": work.topic,
        "LOG_LEVEL": "CRITICAL",
    }
    interpreter, script = str(place.tools.python(OPERATON_CLIENT)), str(HERE / f"{OPERATON_CLIENT}.py")
    return [Launch(part=CLIENT, arguments=(interpreter, script, json.dumps(order)), environment=environment)]


def _prepare_javascript(tools: Tools) -> None:
    if shutil.which("node") is None:
        raise MissingError("node is missing: apt-get install nodejs")
    tools.javascript()


JAVASCRIPT = Contender(
    name="js",
    label="camunda-external-task-client-js",
    launches=_javascript,
    prepare=_prepare_javascript,
)
PYTHON3 = Contender(
    name="py3",
    label="camunda-external-task-client-python3, 4 processes",
    launches=_python3,
    prepare=lambda tools: tools.python(PYTHON3_CLIENT),
)
OPERATON = Contender(
    name="operaton",
    label="operaton-tasks",
    launches=_operaton,
    prepare=lambda tools: tools.python(OPERATON_CLIENT),
)
