"""`procos adapters` shows what a connection may lead to, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field, SecretStr

from procos.cli.main import cli
from procos.domain.errors import SettingsError, UsageError
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
    known.entries.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, *loaded: object) -> None:
    entries = [Entry(each) for each in loaded]
    monkeypatch.setattr(known, "entry_points", lambda group: entries if group == "procos.adapters" else [])
    known.entries.cache_clear()


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


class Unnamed(Lamp):
    name = None  # type: ignore[assignment]  # the fault


class Lantern(Lamp):
    name = "lantern"


class Unconnected(Lamp):
    connection = BaseModel  # type: ignore[assignment]  # the fault


class Unhealthy(Adapter):
    name = "lamp"
    connection = LampConnection


class TestEntryPoint:
    @pytest.mark.parametrize(
        ("added", "said"),
        [
            (Light, "is no subclass of Adapter"),
            (dict, "is no subclass of Adapter"),
            (Nameless, "has no name"),
            (Unnamed, "names an adapter that calls itself None; both must be called the same"),
            (Lantern, "names an adapter that calls itself 'lantern'; both must be called the same"),
            (Unconnected, "has a connection that is no subclass of Connection"),
            (Unhealthy, "leaves health_check out"),
        ],
    )
    def test_that_cannot_serve_is_refused_with_its_package(
        self, added: object, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(monkeypatch, added)
        told = f"their-lamps: entry point 'lamp' of procos.adapters {said}"
        listed = CliRunner().invoke(cli, ["adapters"])
        assert (listed.exit_code, listed.stdout, listed.stderr) == (0, "", f"{told}\n")
        asked = CliRunner().invoke(cli, ["adapters", "lamp"])
        assert isinstance(asked.exception, SettingsError)
        assert str(asked.exception) == told

    def test_of_a_name_that_several_packages_add_serves_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch, Lamp, Lamp)
        told = "their-lamps: entry point 'lamp' of procos.adapters: several packages add it, so none serves"
        assert CliRunner().invoke(cli, ["adapters"]).stderr.splitlines() == [told, told]

    def test_of_a_name_that_is_built_in_leaves_that_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch, Lantern)
        monkeypatch.setattr(known, "BUILT_IN", {"lamp": "here:Lamp"})
        monkeypatch.setattr(known, "_loaded", lambda _: Lamp)
        listed = CliRunner().invoke(cli, ["adapters"])
        assert listed.stdout.startswith("lamp  A lamp.  [from procos]")
        assert listed.stderr.endswith("there is an adapter 'lamp' already\n")
