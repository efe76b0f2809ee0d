from __future__ import annotations

import shutil
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from procos.domain.errors import BrokerUnreachableError, DatabaseUnreachableError, LedgerUnreachableError, SettingsError
from procos.kernel.boot import environment_check
from procos.kernel.boot.environment_check import database_places, require_sound, services

if TYPE_CHECKING:
    from pathlib import Path


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_check, "missing_for_engine", lambda _: iter(()))


class TestRequireSound:
    def test_is_content_with_a_sound_machine(self, settings: Any, tmp_path: Path, free_port: int) -> None:
        require_sound(settings(PROCOS_ENGINE_PORT=str(free_port)), state=tmp_path, starts_engine=True)

    def test_names_all_that_is_wrong_at_once(
        self, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environment_check, "missing_for_engine", lambda _: iter(["engine: Java is missing"]))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total=1, used=1, free=5 << 20))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]

            with pytest.raises(SettingsError) as error:
                require_sound(settings(PROCOS_ENGINE_PORT=str(port)), state=tmp_path, starts_engine=True)

        assert error.value.problems == (
            f"disk: 5 MiB are free at {tmp_path}, 256 are needed (PROCOS_STATE_DIRECTORY)",
            "engine: Java is missing",
            f"engine: 127.0.0.1 port {port} cannot be listened on, it may be taken; set PROCOS_ENGINE_PORT",
        )

    def test_needs_neither_java_nor_port_where_it_attaches(
        self, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environment_check, "missing_for_engine", lambda _: iter(["engine: Java is missing"]))

        require_sound(settings(PROCOS_ENGINE_PORT="1"), state=tmp_path, starts_engine=False)


class TestServices:
    def test_are_broker_and_redis(self, settings: Any) -> None:
        assert [service.name for service in services(settings(), starts_engine=True)] == ["broker", "Redis"]

    def test_are_the_database_too_where_an_engine_with_one_is_started(self, settings: Any) -> None:
        chosen = settings(PROCOS_ENGINE_DB_URL="postgresql://db.example/camunda")

        assert [service.name for service in services(chosen, starts_engine=True)] == ["broker", "Redis", "database"]
        assert [service.name for service in services(chosen, starts_engine=False)] == ["broker", "Redis"]

    def test_say_why_they_do_not_answer_without_their_credentials(self, settings: Any, free_port: int) -> None:
        place = f"127.0.0.1:{free_port}"
        chosen = settings(
            PROCOS_BROKER_URL=f"amqp://user:hidden@{place}//",
            PROCOS_REDIS_URL=f"redis://:hidden@{place}/0",
            PROCOS_ENGINE_DB_URL=f"postgresql://{place}/camunda",
        )

        errors = [service.error(service.question() or "") for service in services(chosen, starts_engine=True)]

        assert [type(error) for error in errors] == [
            BrokerUnreachableError, LedgerUnreachableError, DatabaseUnreachableError,
        ]  # fmt: skip
        assert all("refused" in str(error) and "hidden" not in str(error) for error in errors)


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("postgresql://db.example/camunda", [("db.example", 5432)]),
        ("jdbc:postgresql://db.example:6543/camunda?ssl=true", [("db.example", 6543)]),
        ("postgresql://user:p,w@one:5433,two/camunda", [("one", 5433), ("two", 5432)]),
        ("postgresql://[::1]:5433/camunda", [("::1", 5433)]),
        ("jdbc:h2:mem:bench", []),
        ("", []),
    ],
)
def test_database_places(url: str, places: list[tuple[str, int]]) -> None:
    assert list(database_places(url)) == places


def test_one_database_that_listens_is_enough(settings: Any, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"postgresql://127.0.0.1:{free_port},127.0.0.1:{port}/camunda"
        *_, database = services(settings(PROCOS_ENGINE_DB_URL=url), starts_engine=True)

        assert database.question() is None
