"""What `http_request` costs beside a bare `requests` session, and the memory a large download needs.

Ours is the whole function of the topic by a connection, guard, caps and classification included. The bare one is a
session kept open, as its documentation shows it, that reads the JSON of the answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import requests

from procos.settings import load_settings
from tasks.generic.http_request import HttpRequestInput, http_request
from tests.benchmarks.rows import Row
from tests.benchmarks.tasks.contexts import context_of
from tests.benchmarks.tasks.file_server import MEGABYTES
from tests.benchmarks.tasks.turns import milliseconds
from tests.local_stack import clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_PERCENT = 20.0
MOST_MEGABYTES = 30.0
DOWNLOAD_SECONDS = 120
DOWNLOAD = """
import json, sys
import psutil
from procos.settings import load_settings
from tasks.generic.http_request import HttpRequestInput, http_request
from tests.benchmarks.tasks.contexts import context_of
context = context_of("http_request", load_settings(json.loads(sys.argv[1]), dotenv=None))
ask = lambda path, how: http_request(HttpRequestInput(connection="web", path=path, response_as=how), context)
ask("/small", "blob")
before = psutil.Process().memory_info().rss
answer = ask("/large", "blob")
import resource
print(json.dumps({
    "before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "size": answer.http_body.size if hasattr(answer.http_body, "size") else answer.http_body["size"],
}))
"""


def overhead(url: str, *, rounds: int, calls: int) -> list[Row]:
    """Return how much more CPU a small request costs than the bare client's."""
    context = context_of("http_request", load_settings(_connection(url), dotenv=None))
    session = requests.Session()

    def ours() -> object:
        return http_request(HttpRequestInput(connection="web", path="/small"), context).http_body

    def bare() -> object:
        return session.get(f"{url}/small", timeout=30).json()

    assert ours() == bare()
    spent = milliseconds({"ours": ours, "bare": bare}, rounds=rounds, calls=calls)
    return [
        Row(
            measure="CPU of http_request over a requests session, 1 KB",
            figure=100 * (spent["ours"] / spent["bare"] - 1),
            unit="%",
            bound=MOST_PERCENT,
            details=f"{spent['ours']:.2f} against {spent['bare']:.2f} ms, {rounds} rounds of {calls}",
        )
    ]


def download(url: str) -> list[Row]:
    """Return the memory that a process of its own needs beyond what it has, for a file of 100 MiB."""
    with tempfile.TemporaryDirectory(prefix="procos-bench-blobs-") as folder:
        names = {**_connection(url), "PROCOS_BLOBS_URL": f"file://{folder}"}
        ran = subprocess.run(
            (sys.executable, "-c", DOWNLOAD, json.dumps(names)),
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=DOWNLOAD_SECONDS,
        )
    found: Mapping[str, int] = json.loads(ran.stdout)
    if found["size"] != MEGABYTES * 2**20:
        raise RuntimeError(f"the download has {found['size']} bytes")
    return [
        Row(
            measure=f"memory of a download of {MEGABYTES} MiB",
            figure=max(found["peak"] - found["before"], 0) / 2**20,
            unit="MiB",
            bound=MOST_MEGABYTES,
            details=f"peak {found['peak'] / 2**20:.0f}, before {found['before'] / 2**20:.0f} MiB",
        )
    ]


def _connection(url: str) -> dict[str, str]:
    return {
        "PROCOS_CONNECTIONS__WEB__TYPE": "http",
        "PROCOS_CONNECTIONS__WEB__URL": url,
        "PROCOS_CONNECTIONS__WEB__ALLOWED_ADDRESSES": "127.0.0.1",
    }
