"""How the services behind the connections are: every finding is told from the others, none is waited for long."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TransientError
from procos.settings import Settings, load_settings
from tasks.adapters import known
from tasks.adapters.adapter import Adapter, Connection, Health
from tasks.adapters.health import HANGS, LONGEST_DETAIL, MOST_AT_ONCE, RecentLooks, State, look_at, looks, troubles
from tasks.system import health_monitoring as monitoring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from procos.testing import FrozenClock, StepRunner

TOKEN = "hunter-two"
TROUBLES: Mapping[str, BaseException] = {
    "busy": RateLimited("come back later", retry_in=timedelta(seconds=9)),
    "away": TransientError(f"refused a call with {TOKEN}"),
    "denied": PermanentError(f"401 for {TOKEN}"),
    "no": BusinessError("NO", "not for you"),
    "broken": ZeroDivisionError(TOKEN),
    "exits": SystemExit(TOKEN),
}
"""What a bell raises that is to answer so."""


class BellConnection(Connection):
    answer: str = "well"
    token: SecretStr = SecretStr("")


class Bell(Adapter):
    """A bell that answers as its connection says."""

    name = "bell"
    connection = BellConnection
    asked: list[str]
    hanging: threading.Event
    together: threading.Barrier

    def health_check(self) -> Health:
        self.asked.append(self._connection.answer)
        if trouble := TROUBLES.get(self._connection.answer):
            raise trouble
        match self._connection.answer:
            case "hangs":
                self.hanging.wait(4)
            case "meets":
                self.together.wait(4)
            case "ill":
                return Health(is_well=False, detail=f"token {TOKEN} has expired", seconds=0.0)
            case "talkative":
                return Health(is_well=True, detail="y" * 1000, seconds=0.0)
        return Health(is_well=True, detail="rings", seconds=0.0)


@pytest.fixture(autouse=True)
def bell(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bell]]:
    monkeypatch.setattr(known, "BUILT_IN", {"bell": "bells:Bell"})
    monkeypatch.setattr(known, "_loaded", lambda _: Bell)
    known.entries.cache_clear()
    Bell.asked, Bell.hanging, Bell.together = [], threading.Event(), threading.Barrier(MOST_AT_ONCE)
    yield Bell
    Bell.hanging.set()
    known.entries.cache_clear()


def connected(**answers: str) -> Settings:
    """Settings with a bell for each name, which answers as it says."""
    names: dict[str, str] = {}
    for name, answer in answers.items():
        fields = {"TYPE": "bell", "ANSWER": answer, "TOKEN": TOKEN}
        names |= {f"PROCOS_CONNECTIONS__{name.upper()}__{field}": value for field, value in fields.items()}
    return load_settings(names, dotenv=None)


class TestLook:
    @pytest.mark.parametrize(
        ("answer", "state", "detail"),
        [
            ("well", State.WELL, "rings"),
            ("away", State.AWAY, "refused a call with ***"),
            ("busy", State.AWAY, "come back later"),
            ("denied", State.WRONG, "401 for ***"),
            ("no", State.WRONG, "NO: not for you"),
            ("ill", State.WRONG, "token *** has expired"),
        ],
    )
    def test_says_what_it_found_without_a_secret(self, answer: str, state: State, detail: str) -> None:
        look = look_at("door", connected(door=answer))
        assert (look.connection, look.type, look.state, look.detail) == ("door", "bell", state, detail)

    @pytest.mark.parametrize(("answer", "error"), [("broken", "ZeroDivisionError"), ("exits", "SystemExit")])
    def test_takes_an_adapter_that_breaks_for_a_finding(self, answer: str, error: str) -> None:
        look = look_at("door", connected(door=answer))
        assert look.state is State.WRONG
        assert look.detail.startswith(f"its adapter is broken: {error} in health_check (test_adapter_health.py")
        assert TOKEN not in look.detail

    def test_cuts_a_long_detail(self) -> None:
        assert len(look_at("door", connected(door="talkative")).detail) == LONGEST_DETAIL

    @pytest.mark.parametrize(
        ("fields", "state", "detail"),
        [
            ({"TOKEN": "{{secrets.BELL}}"}, State.UNTYPED, "no type: only its fields and secrets were looked at"),
            ({"TOKEN": "{{secrets.GONE}}"}, State.WRONG, "connection 'door', field 'token': the secret GONE is"),
            ({"TYPE": "bel"}, State.WRONG, "connection 'door' has a type there is no adapter for"),
            ({"TYPE": "bell", "VOLUME": "loud"}, State.WRONG, "connection 'door': volume: Extra inputs"),
            ({"TYPE": "bell", "TOKEN": "abc"}, State.WRONG, "connection 'door', field 'token': has fewer than 4"),
        ],
    )  # fmt: skip
    def test_says_what_is_wrong_with_a_connection(self, fields: dict[str, str], state: State, detail: str) -> None:
        named = {f"PROCOS_CONNECTIONS__DOOR__{field}": value for field, value in fields.items()}
        look = look_at("door", load_settings({**named, "PROCOS_SECRETS__BELL": TOKEN}, dotenv=None))
        assert look.state is state
        assert look.detail.startswith(detail)
        assert "loud" not in look.detail


class TestLooks:
    def test_are_at_every_connection_in_their_order(self) -> None:
        found = looks(connected(door="well", barn="ill", car="away"))
        assert [(look.connection, look.is_trouble) for look in found] == [
            ("barn", True),
            ("car", True),
            ("door", False),
        ]
        assert troubles(found) == ["barn: token *** has expired", "car: refused a call with ***"]

    def test_are_taken_side_by_side(self) -> None:
        meeting = {f"n{number}": "meets" for number in range(MOST_AT_ONCE)}  # each waits for all the others
        assert {look.state for look in looks(connected(**meeting))} == {State.WELL}

    def test_do_not_wait_for_a_service_that_hangs(self) -> None:
        found = looks(connected(door="hangs", car="well"), limit=0.2)
        assert [(look.connection, look.detail) for look in found] == [
            ("car", "rings"), ("door", "no answer within 0.2 s"),
        ]  # fmt: skip

    def test_end_when_the_time_for_all_is_over(self) -> None:
        found = looks(connected(door="hangs"), limit=60, most=0.1)
        assert [look.state for look in found] == [State.AWAY]


class TestRecentLooks:
    def test_are_made_anew_after_half_a_minute(self, procos_clock: FrozenClock) -> None:
        recent = RecentLooks(clock=lambda: procos_clock.now().timestamp())
        settings = connected(door="well")
        recent.of(settings)
        procos_clock.advance(seconds=29)
        recent.of(settings)
        assert Bell.asked == ["well"]
        procos_clock.advance(seconds=1)
        assert [look.detail for look in recent.of(settings)] == ["rings"]
        assert Bell.asked == ["well", "well"]

    def test_do_not_hang_twice_at_one_service(self) -> None:
        recent, settings = RecentLooks(kept=0, limit=0.1), connected(door="hangs", car="well")
        assert [look.detail for look in recent.of(settings)] == ["rings", "no answer within 0.1 s"]
        assert [(look.state, look.detail) for look in recent.of(settings)] == [
            (State.WELL, "rings"), (State.AWAY, HANGS),
        ]  # fmt: skip
        assert sorted(Bell.asked) == ["hangs", "well", "well"]

    def test_are_taken_again_once_the_one_that_hung_has_ended(self) -> None:
        recent, settings = RecentLooks(kept=0, limit=0.1), connected(door="hangs")
        recent.of(settings)
        Bell.hanging.set()
        for each in threading.enumerate():
            if each.name == "look-door":
                each.join(4)
        assert [look.detail for look in recent.of(settings)] == ["rings"]

    def test_forget_a_connection_that_is_gone(self) -> None:
        recent = RecentLooks()
        recent.of(connected(door="well", car="well"))
        assert [look.connection for look in recent.of(connected(car="well"))] == ["car"]


class TestHealthMonitoring:
    def test_tells_services_from_the_parts_of_the_system(
        self, procos_steps: StepRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(monitoring, "part_checks", lambda _: {"engine": lambda: None})
        monkeypatch.setattr(monitoring, "recent_looks", RecentLooks())
        procos_steps.settings = connected(door="denied", car="well")
        found = procos_steps.run("health_monitoring").variables
        assert (found["system_healthy"], found["system_troubles"]) == (True, [])
        assert found["connection_troubles"] == ["door: 401 for ***"]
