"""The least an external-task client can do: one long-polling loop and a pool that completes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import requests

LARGEST_FETCH = 100
POLL_MILLISECONDS = 5_000


class RawClient:
    """Works on one topic while the block lasts; `seconds` is how long each task takes."""

    def __init__(self, rest: str, topic: str, *, seconds: float = 0.0, threads: int = 16) -> None:
        self._rest, self._topic, self._seconds = rest, topic, seconds
        self._threads = threads
        self._local = threading.local()

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(self._threads)
        self._loop = threading.Thread(target=self._run, daemon=True)
        self._loop.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._loop.join(POLL_MILLISECONDS / 1000 + 1)

    def _run(self) -> None:
        body = {
            "workerId": f"raw-{self._topic}",
            "maxTasks": LARGEST_FETCH,
            "asyncResponseTimeout": POLL_MILLISECONDS,
            "topics": [{"topicName": self._topic, "lockDuration": 60_000, "deserializeValues": False}],
        }
        while not self._stop.is_set():
            fetched = self._post("/external-task/fetchAndLock", body).json()
            for task in fetched:
                self._pool.submit(self._complete, task["id"])

    def _complete(self, task_id: str) -> None:
        time.sleep(self._seconds)
        self._post(f"/external-task/{task_id}/complete", {"workerId": f"raw-{self._topic}"})

    def _post(self, path: str, body: object) -> requests.Response:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        answer: requests.Response = self._local.session.post(self._rest + path, json=body, timeout=30)
        answer.raise_for_status()
        return answer
