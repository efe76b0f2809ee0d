from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import SettingsError
from procos.kernel.part import Name
from procos.kernel.parts import engine, programs, rabbitmq, redis
from procos.kernel.parts.environment import own_environment, service_environment
from procos.kernel.parts.flower import flower_part
from procos.kernel.ports import Ports

if TYPE_CHECKING:
    from procos.kernel.state import StackFolder

INNER = rabbitmq.InnerPorts(distribution=40001, epmd=40002)


class TestServiceEnvironment:
    def test_keeps_our_secrets_and_foreign_options_from_services(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kept_back = {
            "PROCOS_OPENAI_API_KEY": "k", "OPENAI_API_KEY": "k", "RABBITMQ_URL": "amqp://u:p@far",
            "RABBITMQ_NODENAME": "rabbit@far", "ERL_EPMD_PORT": "1", "NOTIFY_SOCKET": "/run/x",
        }  # fmt: skip
        for name, value in {**kept_back, "LANG": "C.UTF-8"}.items():
            monkeypatch.setenv(name, value)

        found = service_environment(PROCOS_ENGINE_PORT="1")

        assert set(found) & set(kept_back) == set()
        assert (found["LANG"], found["PROCOS_ENGINE_PORT"]) == ("C.UTF-8", "1")


class TestOwnEnvironment:
    def test_puts_the_parts_above_what_the_user_has_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PROCOS_LOG_LEVEL", "DEBUG")
        monkeypatch.setenv("PROCOS_BROKER_URL", "")

        found = own_environment({"PROCOS_BROKER_URL": "amqp://here//"})

        assert (found["PROCOS_LOG_LEVEL"], found["PROCOS_BROKER_URL"]) == ("DEBUG", "amqp://here//")


class TestRabbitmq:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        rabbitmq.command(tmp_path, port=40000, inner=INNER, password="secret")
        return tmp_path

    def test_listens_on_loopback_alone(self, home: Path) -> None:
        command = rabbitmq.command(home, port=40000, inner=INNER, password="secret")

        assert "listeners.tcp.1 = 127.0.0.1:40000" in (home / "rabbitmq.conf").read_text()
        assert command.environment["ERL_EPMD_ADDRESS"] == "127.0.0.1"
        assert "inet_dist_use_interface {127,0,0,1}" in command.environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]

    def test_writes_the_password_as_a_hash_that_fits(self, home: Path) -> None:
        text = (home / "definitions.json").read_text()
        digest = base64.b64decode(json.loads(text)["users"][0]["password_hash"])

        assert "secret" not in text
        assert digest[4:] == hashlib.sha256(digest[:4] + b"secret").digest()

    def test_keeps_its_files_to_its_owner(self, home: Path) -> None:
        assert {file.stat().st_mode & 0o777 for file in home.iterdir()} == {0o600}

    def test_does_not_use_the_command_that_switches_users(self, home: Path) -> None:
        command = rabbitmq.command(home, port=40000, inner=INNER, password="secret")

        assert "/usr/sbin/rabbitmq-server" not in command.arguments


class TestRedis:
    def test_is_configured_to_lose_nothing_and_let_nobody_in(self, folder: StackFolder) -> None:
        command = redis.server_command(Name.REDIS, port=40000, folder=folder)

        configuration = Path(command.arguments[-1])
        lines = configuration.read_text().splitlines()
        for line in (
            "bind 127.0.0.1", "port 40000", "appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction",
            f"requirepass {folder.secret('redis_password')}",
        ):  # fmt: skip
            assert line in lines
        assert configuration.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://:secret@h:1/0", "redis://h:1/0"),
            ("amqps://u:p%40@h/vhost?heartbeat=5", "amqps://h/vhost"),
            ("amqp://u:p/a?s#s@h//", "amqp://h//"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ],
    )
    def test_shows_addresses_without_credentials(self, url: str, shown: str) -> None:
        assert redis.without_credentials(url) == shown


class TestEngine:
    def test_is_told_its_port_folder_and_database_by_environment(self, settings: Any, folder: StackFolder) -> None:
        chosen = settings(
            PROCOS_ENGINE_JAR="/jars/engine.jar", DATABASE_URL="postgresql://db/x", PROCOS_ENGINE_HEAP="512m",
        )  # fmt: skip
        part = engine.engine_part(chosen, folder=folder, ports=Ports())

        assert part.launch is not None
        command = part.launch("")
        assert part.build is None
        assert command.arguments[-2:] == ("-jar", "/jars/engine.jar")
        assert "-Xmx512m" in command.arguments
        assert command.environment["PROCOS_ENGINE_DB_URL"] == "postgresql://db/x"
        assert command.environment["PROCOS_ENGINE_DATA"] == str(folder.data("engine"))
        assert part.address == f"http://127.0.0.1:{command.environment['PROCOS_ENGINE_PORT']}/engine-rest"

    def test_is_built_where_no_jar_is_given(self, settings: Any, folder: StackFolder) -> None:
        part = engine.engine_part(settings(), folder=folder, ports=Ports())

        assert part.build is not None
        assert part.launch is not None
        assert part.launch("/cache/built.jar").arguments[-1] == "/cache/built.jar"

    def test_misses_a_jar_that_is_not_there(self, settings: Any) -> None:
        assert "no jar at /none.jar" in " ".join(engine.missing_for_engine(settings(PROCOS_ENGINE_JAR="/none.jar")))

    @pytest.mark.parametrize(
        "login",
        [
            {"PROCOS_ENGINE_TOKEN": "t"},
            {
                "PROCOS_ENGINE_OAUTH_TOKEN_URL": "http://127.0.0.1:9/token",
                "PROCOS_ENGINE_OAUTH_CLIENT_ID": "c",
                "PROCOS_ENGINE_OAUTH_CLIENT_SECRET": "s",
            },
        ],
        ids=["token", "oauth"],
    )
    def test_elsewhere_is_asked_as_its_clients_ask_it(self, settings: Any, login: dict[str, str]) -> None:
        chosen = settings(PROCOS_ENGINE_URL="http://127.0.0.1:9/engine-rest", **login)
        assert "connection refused" in str(engine.external_engine(chosen.engine).probe.check())

    def test_elsewhere_is_refused_where_the_settings_contradict_each_other(self, settings: Any) -> None:
        chosen = settings(PROCOS_ENGINE_URL="http://127.0.0.1:9", PROCOS_ENGINE_USER="u", PROCOS_ENGINE_TOKEN="t")
        with pytest.raises(SettingsError, match="PROCOS_ENGINE_USER and PROCOS_ENGINE_TOKEN"):
            engine.external_engine(chosen.engine)


class TestFlower:
    def flower(self, settings: Any, folder: StackFolder) -> Any:
        around = programs.Surroundings(provided={}, settings=settings, directory=folder.root)
        return flower_part(around, folder=folder, ports=Ports())

    def test_lets_nobody_in_without_a_login_and_changes_nothing(self, settings: Any, folder: StackFolder) -> None:
        part = self.flower(settings(), folder)

        environment = part.launch("").environment
        assert environment["FLOWER_BASIC_AUTH"] == f"procos:{folder.secret('flower_password')}"
        assert (environment["FLOWER_READ_ONLY"], environment["FLOWER_ADDRESS"]) == ("true", "127.0.0.1")
        assert str(folder.secret_file("flower_password")) in part.note

    def test_shows_the_arguments_tasks_are_found_by(self, settings: Any, folder: StackFolder) -> None:
        environment = self.flower(settings(), folder).launch("").environment

        assert "kwargs" in environment["FLOWER_TASKS_COLUMNS"].split(",")

    @pytest.mark.parametrize("login", [{"PROCOS_FLOWER_PASSWORD": "a,b"}, {"PROCOS_FLOWER_USER": "a:b"}])
    def test_refuses_a_login_it_would_read_as_another(
        self, settings: Any, folder: StackFolder, login: dict[str, str]
    ) -> None:
        with pytest.raises(SettingsError, match="without commas"):
            self.flower(settings(**login), folder)


class TestWorkers:
    def test_take_from_the_queues_of_packages_too(
        self, settings: Any, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(programs, "by_queue", lambda: {"ai": {}, "generic": {}, "reports": {}})
        around = programs.Surroundings(provided={}, settings=settings(), directory=folder.root)
        ai, generic = programs.ai_worker(around), programs.generic_worker(around)
        assert (ai.note, generic.note) == ("takes from ai", "takes from generic, reports")
        assert generic.launch is not None
        arguments = generic.launch("").arguments
        assert arguments[arguments.index("-Q") + 1] == "generic,reports"


class TestBridge:
    def bridge(self, settings: Any, folder: StackFolder, ports: Ports | None = None) -> Any:
        around = programs.Surroundings(provided={}, settings=settings, directory=folder.root)
        return programs.bridge_part(around, ports=ports or Ports())

    def test_serves_its_health_where_it_is_told_to(self, settings: Any, folder: StackFolder) -> None:
        ports = Ports()
        usual = ports.choose()
        part = self.bridge(settings(PROCOS_BRIDGE_HEALTH_PORT=str(usual)), folder)

        assert part.launch("").environment["PROCOS_BRIDGE_HEALTH_PORT"] == str(usual)
        assert part.address == f"http://127.0.0.1:{usual}/"

    def test_moves_when_its_port_is_taken_and_says_so(self, settings: Any, folder: StackFolder) -> None:
        ports = Ports()
        taken = ports.choose()
        part = self.bridge(settings(PROCOS_BRIDGE_HEALTH_PORT=str(taken)), folder, ports)

        assert part.launch("").environment["PROCOS_BRIDGE_HEALTH_PORT"] != str(taken)
        assert f"port {taken} is taken" in part.note

    def test_keeps_its_port_to_itself(self, settings: Any, folder: StackFolder) -> None:
        assert self.bridge(settings(), folder).provides == {}

    def test_has_no_address_where_health_is_switched_off(self, settings: Any, folder: StackFolder) -> None:
        part = self.bridge(settings(PROCOS_BRIDGE_HEALTH_PORT="0"), folder)

        assert (part.address, part.port) == ("", None)

    def test_has_an_address_that_can_be_asked_also_by_ipv6(self, settings: Any, folder: StackFolder) -> None:
        assert self.bridge(settings(PROCOS_BRIDGE_HEALTH_ADDRESS="::1"), folder).address.startswith("http://[::1]:")
