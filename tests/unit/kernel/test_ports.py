from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from procos.kernel.ports import LOOPBACK, Ports, is_free, moved

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


class TestPorts:
    def test_chooses_the_usual_port_when_it_is_free(self, taken: int) -> None:
        ports = Ports()
        free = ports.choose()

        assert free != taken
        assert Ports().choose(free) == free

    def test_chooses_another_port_when_the_usual_one_is_taken(self, taken: int) -> None:
        chosen = Ports().choose(taken)

        assert chosen != taken
        assert is_free(chosen)

    def test_gives_no_port_out_twice(self) -> None:
        ports = Ports()
        first = ports.choose()

        assert ports.choose(first) != first

    def test_gives_no_port_to_two_stacks_before_their_servers_listen(self) -> None:
        with Ports() as first, Ports() as second:
            port = first.choose()

            assert second.choose(port) != port
        assert Ports().choose(port) == port

    def test_takes_a_server_on_all_addresses_for_one_on_loopback_too(self) -> None:
        with socket.create_server(("", 0)) as everywhere:
            assert not is_free(everywhere.getsockname()[1])


class TestMoved:
    def test_says_that_a_part_is_not_where_people_look_first(self) -> None:
        assert moved(8080, 40001) == "port 8080 is taken"
        assert moved(8080, 8080) == ""
