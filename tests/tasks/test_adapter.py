"""The interface of adapters: what an operation says of itself, what a call refuses, and what is not done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, Field, SecretStr

from procos.domain.errors import BusinessError, PermanentError
from procos.settings import load_settings
from tasks.adapters import known
from tasks.adapters.adapter import Adapter, Call, Connection, Health, operation
from tasks.adapters.calling import called, service, service_of
from tasks.deeds import OUTCOME_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.context import TaskContext


class BellConnection(Connection):
    volume: int = 1
    token: SecretStr


class Ring(BaseModel):
    times: int = Field(1, ge=1)


class Rung(BaseModel):
    times: int
    key: str


class Bell(Adapter):
    name = "bell"
    connection = BellConnection

    @operation()
    def ring(self, how: Ring, call: Call) -> Rung:
        """Ring the bell. It is loud."""
        return Rung(times=how.times * self._connection.volume, key=call.idempotency_key)

    @operation(repeatable=lambda how: how.times == 1)
    def mute(self, how: Ring, call: Call) -> Rung:
        """Be silent."""
        return Rung(times=how.times, key=call.idempotency_key)

    def health_check(self) -> Health:
        return Health(is_well=True, detail="hangs", seconds=0.0)


class Horn(Bell):
    name = "horn"


BELL = Bell(BellConnection(type="bell", token=SecretStr("ding-dong"), volume=2))


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(known, "BUILT_IN", {"bell": f"{__name__}:Bell", "horn": f"{__name__}:Horn"})
    monkeypatch.setattr(known, "_loaded", lambda place: {"Bell": Bell, "Horn": Horn}[place.partition(":")[2]])
    known.entries.cache_clear()
    yield
    known.entries.cache_clear()


@pytest.fixture
def step(context_with: Callable[..., TaskContext]) -> TaskContext:
    names = {
        "PROCOS_CONNECTIONS__DOOR__TYPE": "bell",
        "PROCOS_CONNECTIONS__DOOR__TOKEN": "ding-dong",
        "PROCOS_CONNECTIONS__CAR__TYPE": "horn",
        "PROCOS_CONNECTIONS__CAR__TOKEN": "toot-toot",
        "PROCOS_CONNECTIONS__OLD__TOKEN": "of no type",
        "PROCOS_CONNECTIONS__TYPO__TYPE": "bel",
    }
    return context_with(load_settings(names, dotenv=None))


class TestOperations:
    def test_are_the_marked_methods_and_what_they_say_of_themselves(self) -> None:
        ring = Bell.operations()["ring"]
        assert list(Bell.operations()) == ["mute", "ring"]
        assert ring.summary == "Ring the bell. It is loud."
        assert ring.schema()["parameters"]["properties"]["times"]["minimum"] == 1
        assert ring.schema()["result"]["required"] == ["times", "key"]

    def test_say_whether_they_may_be_done_twice(self) -> None:
        assert not Bell.operations()["ring"].is_repeatable(Ring())
        assert Bell.operations()["mute"].is_repeatable(Ring())
        assert not Bell.operations()["mute"].is_repeatable(Ring(times=2))


class TestCallService:
    def test_does_an_operation(self) -> None:
        result = BELL.call_service("ring", {"times": 3}, deadline=0.0, idempotency_key="step-1")
        assert result == {"times": 6, "key": "step-1"}

    @pytest.mark.parametrize(
        ("operation", "parameters", "text"),
        [
            ("rign", {}, r"bell has no such operation; known: mute, ring; did you mean ring\?"),
            ("health_check", {}, "no such operation"),
            ("__init__", {}, "no such operation"),
            ("ring", {"times": 0}, "times: Input should be greater than or equal to 1"),
            ("ring", {"times": "many and secret"}, "times: Input should be a valid integer"),
        ],
    )
    def test_refuses_what_cannot_be(self, operation: str, parameters: dict[str, object], text: str) -> None:
        with pytest.raises(BusinessError, match=text) as raised:
            BELL.call_service(operation, parameters, deadline=0.0, idempotency_key="step-1")
        assert raised.value.code == "INVALID_INPUT"
        assert "secret" not in str(raised.value)


@pytest.mark.usefixtures("bells")
class TestService:
    def test_is_found_by_the_name_of_its_connection(self, step: TaskContext) -> None:
        assert called(service("door", step), "ring", {}, step)["key"] == step.idempotency_key

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("old", "connection 'old' has no type; expected one of bell, horn"),
            ("typo", r"connection 'typo' has a type there is no adapter for; .*; did you mean bell\?"),
            ("dor", r"there is no connection 'dor'; .*; did you mean door\?"),
        ],
    )
    def test_says_what_is_wrong_with_a_connection(self, step: TaskContext, name: str, text: str) -> None:
        with pytest.raises(PermanentError, match=text):
            service(name, step)

    def test_is_of_the_kind_a_topic_needs(self, step: TaskContext) -> None:
        assert isinstance(service_of(Horn, "car", step), Horn)
        with pytest.raises(PermanentError, match=r"'door' is of type 'bell'; topic .* needs one of type 'horn'"):
            service_of(Horn, "door", step)

    def test_is_not_asked_twice_for_what_may_have_been_done(self, step: TaskContext) -> None:
        again, door = replace(step, started_before=True), service("door", step)
        assert called(door, "mute", {}, again)["times"] == 1
        with pytest.raises(PermanentError, match=r"bell\.ring: an earlier run of this step was cut off") as raised:
            called(door, "ring", {}, again)
        assert raised.value.code == OUTCOME_UNKNOWN


@pytest.mark.usefixtures("bells")
class TestDeeds:
    def test_are_noted_where_they_must_not_be_done_twice(self, step: TaskContext) -> None:
        called(service("door", step), "mute", {}, step)
        assert not step.deeds.done
        called(service("door", step), "ring", {}, step)
        assert step.deeds.done == ["bell.ring"]

    def test_stay_open_after_a_defect_of_an_adapter(self, step: TaskContext, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> Rung:
            raise KeyError("defect")

        monkeypatch.setattr(Bell, "ring", operation()(broken))
        door = service("door", step)
        monkeypatch.setattr(door, "operation_of", lambda _: Bell.operations()["ring"])
        with pytest.raises(KeyError):
            called(door, "ring", {}, step)
        assert step.deeds.under_way == "bell.ring"


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names under which adapters of packages were loaded: one serves, one is of a package that is broken."""
    asked: list[str] = []

    class Entry:
        def __init__(self, name: str, serves: type[Adapter] | None) -> None:
            self.name, self._serves = name, serves

        def load(self) -> object:
            asked.append(self.name)
            if self._serves is None:
                raise ImportError("no licence")
            return self._serves

    entries = [Entry("bell", Bell), Entry("drum", None)]
    monkeypatch.setattr(known, "BUILT_IN", {})
    monkeypatch.setattr(known, "entry_points", lambda *, group: entries if group == "procos.adapters" else [])
    known.entries.cache_clear()
    yield asked
    known.entries.cache_clear()


class TestAdapterOfAPackage:
    def test_is_found_without_loading_another(self, packages: list[str]) -> None:
        assert known.adapter_of("door", "bell") is Bell
        assert packages == ["bell"]

    def test_that_cannot_be_loaded_is_an_incident_of_the_steps_that_name_it(self, packages: list[str]) -> None:
        with pytest.raises(PermanentError, match=r"of connection 'army' cannot serve: .*: no licence") as raised:
            known.adapter_of("army", "drum")
        assert raised.value.code == known.INVALID
        assert packages == ["drum"]

    def test_is_named_to_whoever_mistypes_it_without_being_loaded(self, packages: list[str]) -> None:
        with pytest.raises(PermanentError, match=r"expected one of bell, drum; did you mean drum\?"):
            known.adapter_of("army", "drun")
        assert packages == []

    @pytest.mark.usefixtures("packages")
    def test_serves_where_that_of_another_cannot(self) -> None:
        assert dict(known.adapters()) == {"bell": Bell}
        (fault,) = known.faults()
        assert "'drum' of procos.adapters cannot be loaded: ImportError: no licence" in fault
