"""What a tree of processes has used, and where the peers are kept."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.benchmarks.contenders.tools import cache_folder
from tests.benchmarks.processes import cpu_seconds, listener


class TestCpuSeconds:
    def test_of_this_process_are_more_than_none(self) -> None:
        assert cpu_seconds([os.getpid()]) > 0.0

    def test_add_up_over_several_processes(self) -> None:
        assert cpu_seconds([os.getpid(), os.getpid()]) >= 2 * cpu_seconds([os.getpid()]) - 0.5

    def test_of_nobody_are_none(self) -> None:
        assert cpu_seconds([]) == 0.0


class TestListener:
    def test_is_the_process_that_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            assert listener(server.getsockname()[1]) == os.getpid()

    def test_is_missed_where_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with pytest.raises(RuntimeError, match=str(port)):
            listener(port)


class TestCacheFolder:
    def test_lies_beside_the_engine(self) -> None:
        assert cache_folder({"PROCOS_CACHE_DIR": "/cache"}) == Path("/cache/bench")

    def test_follows_the_usual_place_of_caches(self) -> None:
        assert cache_folder({"XDG_CACHE_HOME": "/home/me/caches"}) == Path("/home/me/caches/procos/bench")
