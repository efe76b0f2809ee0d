"""What is in a variable: which of those with its name a step sees, and how its content comes."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import (
    EngineBusyError,
    EngineMisconfiguredError,
    EngineRejectedError,
    EngineUnreachableError,
)
from procos.engine.downloads import PIECE
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.settings import EngineSettings
from procos.testing import external_task
from tests.unit.engine.raw_server import raw_server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from procos.domain.external_task import ExternalTask
    from tests.unit.engine.conftest import Site

TREE = {
    "id": "instance",
    "childActivityInstances": [
        {"id": "outer", "childActivityInstances": [{"id": "inner", "childActivityInstances": [{"id": "step-1"}]}]},
        {"id": "beside", "childActivityInstances": [{"id": "step-2"}]},
    ],
}


@pytest.fixture
def engine(site: Site) -> HttpEngine:
    return HttpEngine(Transport(EngineSettings(url=site.address)))


@pytest.fixture
def task() -> ExternalTask:
    return replace(external_task(), execution_id="execution-1", activity_instance_id="step-1")


@pytest.fixture
def variables(site: Site) -> Callable[..., None]:
    """Say which variables there are, each by its id, execution and activity instance; their content is their id."""

    def are(*rows: tuple[str, str, str]) -> None:
        listed = [{"id": id_, "executionId": at, "activityInstanceId": around} for id_, at, around in rows]

        def answer(path: str, _headers: Mapping[str, str], _body: bytes) -> tuple[int, bytes]:
            if path.endswith("/data"):
                return 200, path.split("/")[-2].encode()
            return 200, json.dumps(TREE if path.endswith("/activity-instances") else listed).encode()

        site.script = answer

    return are


def content(engine: HttpEngine, task: ExternalTask, name: str = "scan") -> bytes:
    with engine.content(task, name) as pieces:
        return b"".join(pieces)


def asked(site: Site) -> list[str]:
    return [path.removeprefix("/engine-rest").partition("?")[0] for _, path, _, _ in site.requests]


class TestContent:
    def test_of_the_only_variable_of_a_name_takes_two_questions(
        self, engine: HttpEngine, task: ExternalTask, site: Site, variables: Callable[..., None]
    ) -> None:
        variables(("variable-1", "somewhere", "instance"))
        assert content(engine, task) == b"variable-1"
        assert asked(site) == ["/variable-instance", "/variable-instance/variable-1/data"]
        _, path, _, body = site.requests[0]
        assert json.loads(body) == {"processInstanceIdIn": [task.process_instance_id], "variableName": "scan"}
        assert path.endswith("?deserializeValues=false")

    def test_of_the_steps_own_comes_before_all_others(
        self, engine: HttpEngine, task: ExternalTask, variables: Callable[..., None]
    ) -> None:
        variables(("theirs", "somewhere", "instance"), ("own", "execution-1", "step-1"))
        assert content(engine, task) == b"own"

    @pytest.mark.parametrize(
        ("rows", "seen"),
        [
            ([("whole", "a", "instance"), ("far", "b", "beside"), ("near", "c", "inner")], "near"),
            ([("whole", "a", "instance"), ("far", "b", "beside"), ("around", "c", "outer")], "around"),
            ([("whole", "a", "instance"), ("far", "b", "beside")], "whole"),
        ],
    )
    def test_is_of_the_nearest_around_the_step(
        self,
        engine: HttpEngine,
        task: ExternalTask,
        variables: Callable[..., None],
        rows: Sequence[tuple[str, str, str]],
        seen: str,
    ) -> None:
        variables(*rows)
        assert content(engine, task) == seen.encode()

    @pytest.mark.parametrize("rows", [[], [("far", "a", "beside"), ("farther", "b", "step-2")]], ids=["none", "others"])
    def test_of_a_variable_that_is_gone_is_refused(
        self, engine: HttpEngine, task: ExternalTask, variables: Callable[..., None], rows: Sequence[Any]
    ) -> None:
        variables(*rows)
        with pytest.raises(EngineRejectedError, match="'scan' is gone"):
            content(engine, task)

    def test_of_a_variable_that_goes_meanwhile_is_refused(
        self, engine: HttpEngine, task: ExternalTask, site: Site
    ) -> None:
        def answer(path: str, _headers: Mapping[str, str], _body: bytes) -> tuple[int, bytes]:
            if path.endswith("/data"):
                return 404, b'{"type": "InvalidRequestException", "message": "Variable instance does not exist"}'
            return 200, b'[{"id": "variable-1"}]'

        site.script = answer
        with pytest.raises(EngineRejectedError, match="'scan' is gone"):
            content(engine, task)

    @pytest.mark.parametrize("body", [b"{}", b"[1]", b'[{"name": "scan"}]'])
    def test_is_not_looked_for_in_what_is_no_list_of_variables(
        self, engine: HttpEngine, task: ExternalTask, site: Site, body: bytes
    ) -> None:
        site.body = body
        with pytest.raises(EngineMisconfiguredError):
            content(engine, task)


class TestDownload:
    @pytest.fixture
    def transport(self, site: Site) -> Transport:
        return Transport(EngineSettings(url=site.address, timeout=2))

    def test_comes_in_pieces(self, transport: Transport, site: Site) -> None:
        site.body = b"x" * (2 * PIECE + 1)
        with transport.download("/data") as pieces:
            sizes = [len(piece) for piece in pieces]
        assert sum(sizes) == len(site.body)
        assert max(sizes) <= PIECE

    def test_keeps_its_connection_when_all_was_read(self, transport: Transport, site: Site) -> None:
        for _ in range(3):
            with transport.download("/data") as pieces:
                assert list(pieces) == [b"{}"]
        assert site.connections == 1

    def test_that_is_not_read_leaves_nothing_to_the_next(self, transport: Transport, site: Site) -> None:
        site.body = b"of the first"
        with transport.download("/data"):
            pass
        site.body = b"of the second"
        with transport.download("/data") as pieces:
            assert b"".join(pieces) == b"of the second"

    def test_that_is_left_early_spoils_no_later_call(self, transport: Transport, site: Site) -> None:
        site.body = b'"' + b"x" * (4 * PIECE) + b'"'
        with transport.download("/data") as pieces:
            next(pieces)
        site.body = b'{"version": "7.24.0"}'
        assert transport.get("/version") == {"version": "7.24.0"}

    def test_that_is_refused_is_an_error_of_the_engines(self, transport: Transport, site: Site) -> None:
        site.status, site.body = 500, b'{"type": "ProcessEngineException", "message": "no"}'
        with pytest.raises(EngineRejectedError, match="no"), transport.download("/data"):
            pass

    def test_comes_whole_however_it_is_cut(self, transport: Transport, site: Site) -> None:
        site.body = b"".join(b"%07d," % number for number in range(PIECE))
        with transport.download("/data") as pieces:
            assert b"".join(pieces) == site.body

    def test_that_is_left_early_is_not_waited_for_by_the_server(self) -> None:
        left = threading.Event()

        def send_until_nobody_listens(client: socket.socket) -> None:
            client.recv(PIECE)
            try:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    client.sendall(b"x" * PIECE)
            except OSError:
                left.set()

        with raw_server(send_until_nobody_listens) as address:
            with Transport(EngineSettings(url=address)).download("/data") as pieces:
                next(pieces)
            assert left.wait(5)

    def test_may_be_begun_while_another_is_read(self, transport: Transport, site: Site) -> None:
        site.body = b"x" * (4 * PIECE)
        with transport.download("/data") as one, transport.download("/data") as other:
            assert len(next(one) + next(other) + b"".join(one) + b"".join(other)) == 8 * PIECE

    def test_of_nothing_has_no_pieces(self, transport: Transport, site: Site) -> None:
        site.body = b""
        with transport.download("/data") as pieces:
            assert list(pieces) == []

    def test_is_asked_for_again_where_a_kept_connection_had_ended(self) -> None:
        closed = threading.Semaphore(0)

        def answer_and_close(client: socket.socket) -> None:
            client.recv(PIECE)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
            client.close()
            closed.release()

        with raw_server(answer_and_close) as address:
            transport = Transport(EngineSettings(url=address))
            for _ in range(3):
                with transport.download("/data") as pieces:
                    assert list(pieces) == [b"x"]
                assert closed.acquire(timeout=5)

    def test_may_take_longer_than_a_call(self) -> None:
        pause = threading.Event()

        def drip(client: socket.socket) -> None:
            client.recv(PIECE)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            for _ in range(4):
                pause.wait(0.2)
                client.sendall(b"x")

        with raw_server(drip) as address:
            transport = Transport(EngineSettings(url=address, timeout=0.6))
            with transport.download("/data") as pieces:
                assert b"".join(pieces) == b"xxxx"

    def test_that_stops_in_the_middle_is_not_waited_for(self) -> None:
        over = threading.Event()

        def stop(client: socket.socket) -> None:
            client.recv(PIECE)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx")
            over.wait(5)

        with raw_server(stop) as address:
            transport = Transport(EngineSettings(url=address, timeout=0.1))
            with transport.download("/data") as pieces:
                assert next(pieces) == b"x"
                with pytest.raises(EngineUnreachableError, match="no answer in time"):
                    next(pieces)
        over.set()

    def test_that_breaks_off_is_no_content(self) -> None:
        def break_off(client: socket.socket) -> None:
            client.recv(PIECE)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")

        with raw_server(break_off) as address:
            cut_off = Transport(EngineSettings(url=address))
            with pytest.raises(EngineUnreachableError, match="lost"), cut_off.download("/data") as pieces:
                list(pieces)

    def test_that_had_no_answer_speaks_against_every_connection(self, site: Site) -> None:
        transport = Transport(EngineSettings(url=site.address, timeout=0.1))
        transport.get("/version")
        site.hang = threading.Event()
        with pytest.raises(EngineUnreachableError), transport.download("/data"):
            pass
        site.hang.set()
        transport.get("/version")
        assert site.connections == 2

    def test_that_is_refused_with_megabytes_is_left_at_some_of_them(self, transport: Transport, site: Site) -> None:
        site.status, site.body = 503, b"<" * (16 * PIECE)
        with pytest.raises(EngineBusyError), transport.download("/data"):
            pass

    def test_shows_what_lets_us_in(self, site: Site) -> None:
        settings = EngineSettings.model_validate({"url": site.address, "user": "me", "password": "secret"})
        transport = Transport(settings)
        with transport.download("/data") as pieces:
            list(pieces)
        assert site.requests[-1][2]["Authorization"].startswith("Basic ")
