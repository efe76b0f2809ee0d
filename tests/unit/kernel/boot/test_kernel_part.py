from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from procos.kernel.part import Name
from procos.kernel.parts.kernel import kernel_part
from procos.kernel.parts.programs import Surroundings
from procos.kernel.ports import Ports
from procos.kernel.probes import AllOf, HttpProbe


@pytest.fixture
def around(settings: Any) -> Surroundings:
    provided = {"PROCOS_ENGINE_URL": "http://here", "PROCOS_BROKER_URL": "amqp://b//", "PROCOS_REDIS_URL": "redis://r"}
    return Surroundings(provided=provided, settings=settings(), directory=Path("/"))


class TestKernelPart:
    def test_runs_the_kernel_in_the_place_of_the_engine(self, fakes: Any, around: Surroundings) -> None:
        engine = fakes.part(Name.ENGINE, port=18080, provides={"PROCOS_ENGINE_URL": "http://here"})

        part = kernel_part(engine, around, ports=Ports())
        assert part.launch is not None
        command = part.launch("/jars/engine.jar")

        assert command.arguments[-2:] == ("procos", "kernel")
        assert (part.address, part.provides, part.log_name) == (engine.address, engine.provides, "kernel")
        assert part.inner_ports == (18080,)

    def test_tells_the_kernel_all_but_where_the_engine_will_be(self, fakes: Any, around: Surroundings) -> None:
        part = kernel_part(fakes.part(Name.ENGINE, port=18080), around, ports=Ports())
        assert part.launch is not None
        environment = part.launch("/jars/engine.jar").environment

        assert "PROCOS_ENGINE_URL" not in environment
        assert environment["PROCOS_ENGINE_PORT"] == "18080"
        assert environment["PROCOS_ENGINE_JAR"] == "/jars/engine.jar"
        assert environment["PROCOS_BROKER_URL"] == "amqp://b//"
        assert environment["PROCOS_KERNEL_FAREWELL"] == "false"
        assert environment["PROCOS_KERNEL_HEALTH_PORT"] == str(part.port)

    def test_is_healthy_when_kernel_and_engine_are(self, fakes: Any, around: Surroundings) -> None:
        engine = fakes.part(Name.ENGINE, port=18080)

        probe: Any = kernel_part(engine, around, ports=Ports()).probe

        assert isinstance(probe, AllOf)
        ready, asked = probe.probes
        assert (isinstance(ready, HttpProbe), asked) == (True, engine.probe)

    def test_is_asked_at_the_engine_alone_where_its_health_is_switched_off(self, fakes: Any, settings: Any) -> None:
        quiet = Surroundings(provided={}, settings=settings(PROCOS_KERNEL_HEALTH_PORT="0"), directory=Path("/"))
        engine = fakes.part(Name.ENGINE, port=18080)

        part: Any = kernel_part(engine, quiet, ports=Ports())

        assert (part.port, part.probe.probes) == (None, (engine.probe,))


class TestAllOf:
    def test_is_the_first_trouble(self, fakes: Any) -> None:
        assert AllOf(probes=(fakes.probe(None), fakes.probe("silent"), fakes.probe("gone"))).check() == "silent"
        assert AllOf(probes=(fakes.probe(None),)).check() is None
