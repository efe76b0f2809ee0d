"""A download of 100 MB passes through a worker in little memory, into the blob store."""

from __future__ import annotations

import time
import tracemalloc
from itertools import repeat
from typing import TYPE_CHECKING

from procos.blobs.reference import BlobReference
from procos.settings import load_settings
from tasks.adapters.http.adapter import Http
from tasks.adapters.http.connection import HttpConnection
from tasks.blobs import StepBlobs
from tests.raw_http import RawServer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SIZE, PIECE = 100 * 1024 * 1024, b"\0" * 65536
MOST_MEMORY = 30 * 1024 * 1024


def large(_: bytes) -> Iterable[bytes]:
    yield f"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: {SIZE}\r\n\r\n".encode()
    yield from repeat(PIECE, SIZE // len(PIECE))


class TestDownload:
    def test_of_100_mb_takes_less_than_30_of_memory(self, tmp_path: Path) -> None:
        settings = load_settings({"PROCOS_BLOBS_URL": tmp_path.as_uri()}, dotenv=None)
        blobs = StepBlobs(settings=settings, process_instance_id="instance-1")
        with RawServer(large) as server:
            http = Http(HttpConnection(url=server.url, allowed_addresses=["127.0.0.1"]), blobs=blobs)
            tracemalloc.start()
            try:
                found = http.call_service("request", {}, deadline=time.monotonic() + 60, idempotency_key="k")
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert BlobReference.model_validate(found["body"]).size == SIZE
        assert peak < MOST_MEMORY
