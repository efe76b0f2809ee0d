"""`procos adapters` shows what a connection may lead to, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field, SecretStr

from procos.cli.main import cli
from procos.domain.errors import UsageError
from tasks.adapters import known
from tasks.adapters.adapter import Adapter, Call, Connection, Health, operation

if TYPE_CHECKING:
    from collections.abc import Iterator


class LampConnection(Connection):
    room: str
    """Where it hangs,
    in words."""
    watts: int | None = None
    tokens: tuple[SecretStr, ...] = ()
    key: SecretStr | None = None


class Light(BaseModel):
    brightness: int = Field(ge=0, le=100)


class Lamp(Adapter):
    """A lamp."""

    name = "lamp"
    connection = LampConnection

    @operation(repeatable=True)
    def switch(self, light: Light, call: Call) -> Light:  # noqa: ARG002  # every operation has one
        """Switch it."""
        return light

    def health_check(self) -> Health:
        raise NotImplementedError


class Entry:
    name = "lamp"

    class dist:  # noqa: N801  # as importlib.metadata has it
        name = "their-lamps"

    def __init__(self, loaded: object) -> None:
        self._loaded = loaded

    def load(self) -> object:
        return self._loaded


@pytest.fixture(autouse=True)
def lamps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(known, "BUILT_IN", {})
    install(monkeypatch, Lamp)
    yield
    known.adapters.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, *loaded: object) -> None:
    entries = [Entry(each) for each in loaded]
    monkeypatch.setattr(known, "entry_points", lambda group: entries if group == "procos.adapters" else [])
    known.adapters.cache_clear()


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["adapters", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


class TestAdapters:
    def test_are_listed_with_their_package_and_operations(self) -> None:
        assert shown().splitlines() == ["lamp  A lamp.  [from their-lamps]", "  switch  Switch it."]

    def test_show_the_fields_of_a_connection_and_mark_secrets(self) -> None:
        lines = shown("lamp").splitlines()
        assert lines[3:8] == [
            "  type = lamp",
            "  room (string, required): Where it hangs, in words.",
            "  watts (integer or null, default null)",
            "  tokens (array, default [], SECRET)",
            "  key (string or null, default null, SECRET)",
        ]
        assert '"maximum": 100' in "\n".join(lines[8:])

    def test_are_told_to_programs(self) -> None:
        (lamp,) = json.loads(shown("--json"))
        assert (lamp["name"], lamp["source"]) == ("lamp", "their-lamps")
        assert [field["name"] for field in lamp["connection"]["fields"] if field.get("is_secret")] == ["tokens", "key"]
        assert lamp["operations"]["switch"]["parameters"]["required"] == ["brightness"]
        assert json.loads(shown("lamp", "--json")) == [lamp]

    def test_say_so_where_there_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch)
        assert "no package adds one" in shown()

    def test_answer_a_typing_error_with_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"there is no adapter 'lam'; known: lamp; did you mean lamp\?"):
            CliRunner().invoke(cli, ["adapters", "lam"], catch_exceptions=False)


class Nameless(Adapter):
    connection = LampConnection


class Unconnected(Lamp):
    connection = BaseModel  # type: ignore[assignment]  # the fault


class Unhealthy(Adapter):
    name = "unhealthy"
    connection = LampConnection


class TestEntryPoint:
    @pytest.mark.parametrize(
        ("added", "said"),
        [
            (Light, "is no subclass of Adapter"),
            (Nameless, "has no name"),
            (Unconnected, "has a connection that is no subclass of Connection"),
            (Unhealthy, "leaves health_check out"),
        ],
    )
    def test_that_cannot_serve_is_refused_with_its_package(
        self, added: object, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(monkeypatch, added)
        result = CliRunner().invoke(cli, ["adapters"])
        assert str(result.exception) == f"their-lamps: entry point 'lamp' of procos.adapters {said}"

    def test_whose_name_is_taken_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch, Lamp, Lamp)
        result = CliRunner().invoke(cli, ["adapters"])
        assert str(result.exception).endswith("there is an adapter 'lamp' already")
