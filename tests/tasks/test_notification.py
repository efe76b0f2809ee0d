"""Topic notification: who is told, in which words, and what becomes of it where some or all cannot be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from procos.domain.errors import (
    BusinessError,
    PermanentError,
    RateLimited,
    SettingsError,
    StepCancelled,
    TransientError,
)
from procos.settings import load_settings
from tasks.adapters import known
from tasks.adapters.adapter import Adapter, Call, Connection, Health, operation, validated
from tasks.adapters.calling import outcome_unknown
from tasks.generic.notification import NotificationInput, NotificationOutput, notification
from tasks.generic.notifying import WORDS, Notification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.context import TaskContext

AUDIENCES = """{
  "default": [{"connection": "first"}, {"connection": "second", "floor": 3}],
  "operators": [{"connection": "first"}],
  "mute": [{"connection": "stone"}],
  "gone": [{"connection": "fist"}],
  "empty": []
}"""
NAMES = {
    "PROCOS_NOTIFICATION_AUDIENCES": AUDIENCES,
    "PROCOS_CONNECTIONS__FIRST__TYPE": "board",
    "PROCOS_CONNECTIONS__SECOND__TYPE": "board",
    "PROCOS_CONNECTIONS__SECOND__NAME": "second",
    "PROCOS_CONNECTIONS__STONE__TYPE": "stone",
}
SAID = NotificationInput(title="Disk full", message="On host 7.", severity="error", details={"free": 0, "path": "/srv"})


class BoardConnection(Connection):
    name: str = "first"


class Notice(BaseModel):
    model_config = ConfigDict(extra="allow")

    title: str
    message: str
    severity: str
    details: dict[str, Any]


class Pinned(BaseModel):
    pinned: bool = True


class Board(Adapter):
    name = "board"
    connection = BoardConnection
    pinned: ClassVar[list[tuple[str, Notice, Call]]] = []
    faults: ClassVar[dict[str, Exception]] = {}

    @operation()
    def notify(self, notice: Notice, call: Call) -> Pinned:
        """Pin a notice."""
        if fault := self.faults.get(self._connection.name):
            raise fault
        self.pinned.append((self._connection.name, notice, call))
        return Pinned()

    def health_check(self) -> Health:
        return Health(is_well=True, detail="hangs", seconds=0.0)


class Stone(Board):
    name = "stone"
    notify = None  # type: ignore[assignment]  # it says nothing


@pytest.fixture(autouse=True)
def boards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(known, "BUILT_IN", {"board": "here:Board", "stone": "here:Stone"})
    monkeypatch.setattr(known, "_loaded", lambda place: {"Board": Board, "Stone": Stone}[place.partition(":")[2]])
    known.entries.cache_clear()
    Board.pinned.clear()
    Board.faults.clear()
    yield
    known.entries.cache_clear()


@pytest.fixture
def step(context_with: Callable[..., TaskContext]) -> TaskContext:
    return context_with(load_settings(NAMES, dotenv=None))


class TestNotification:
    def test_is_told_to_everyone_of_the_audience(self, step: TaskContext) -> None:
        told = notification(SAID, step)
        assert told == NotificationOutput(notified=["first", "second"], not_notified=[])
        (_, notice, first), (_, _, second) = Board.pinned
        assert (notice.title, notice.severity, notice.details) == ("Disk full", "error", {"free": 0, "path": "/srv"})
        assert first.idempotency_key != second.idempotency_key

    def test_takes_what_the_settings_say_of_a_target(self, step: TaskContext) -> None:
        notification(SAID, step)
        assert [notice.model_extra for _, notice, _ in Board.pinned] == [{}, {"floor": 3}]

    def test_gives_each_target_its_share_of_the_time(self, step: TaskContext) -> None:
        frozen = replace(step, clock=lambda: 100.0, deadline=160.0)
        notification(SAID, frozen)
        assert [call.deadline for _, _, call in Board.pinned] == [130.0, 160.0]

    def test_ends_well_where_one_was_told(self, step: TaskContext) -> None:
        Board.faults["first"] = PermanentError("the wall is gone")
        told = notification(SAID, step)
        assert told.notified == ["second"]
        assert [(each.connection, each.reason) for each in told.not_notified] == [("first", "the wall is gone")]

    def test_does_no_harm_to_the_others_by_a_defect_of_one(self, step: TaskContext) -> None:
        Board.faults["first"] = KeyError("defect")
        told = notification(SAID, step)
        assert told.notified == ["second"]
        assert told.not_notified[0].reason.startswith("first: KeyError; it may have been told")

    def test_is_noted_as_done(self, step: TaskContext) -> None:
        notification(SAID, step)
        assert step.deeds.done == ["notification by first", "notification by second"]

    def test_is_not_begun_without_time(self, step: TaskContext) -> None:
        with pytest.raises(TransientError, match="no time was left"):
            notification(SAID, replace(step, clock=lambda: 100.0, deadline=100.0))
        assert not Board.pinned

    def test_says_which_audiences_there_are(self, step: TaskContext) -> None:
        with pytest.raises(PermanentError, match=r"known: default, .*; did you mean operators\?") as raised:
            notification(SAID.model_copy(update={"audience": "operator"}), step)
        assert raised.value.code == "AUDIENCE_UNKNOWN"

    def test_has_somebody_to_tell(self, step: TaskContext) -> None:
        with pytest.raises(PermanentError, match="no such audience"):
            notification(SAID.model_copy(update={"audience": "empty"}), step)

    @pytest.mark.parametrize(
        ("audience", "text"),
        [
            ("mute", "'stone' is of type 'stone', which takes no notifications; expected one of email, slack, http"),
            ("gone", r"there is no connection 'fist'; .*did you mean first\?"),
        ],
    )
    def test_says_what_is_wrong_with_a_target(self, step: TaskContext, audience: str, text: str) -> None:
        with pytest.raises(BusinessError, match=text) as raised:
            notification(SAID.model_copy(update={"audience": audience}), step)
        assert raised.value.code == "NOT_NOTIFIED"

    def test_is_not_told_twice(self, step: TaskContext) -> None:
        with pytest.raises(PermanentError, match="an earlier run of this step was cut off"):
            notification(SAID, replace(step, started_before=True))
        assert not Board.pinned

    def test_stops_for_a_cancelled_step(self, step: TaskContext) -> None:
        with pytest.raises(StepCancelled):
            notification(SAID, replace(step, cancelled=lambda: True))


LATER = TransientError("not now", retry_in=timedelta(minutes=1))
PATIENCE = RateLimited("slowly", retry_in=timedelta(seconds=9))
NO = BusinessError("CHANNEL_NOT_FOUND", "no such wall")
UNKNOWN = outcome_unknown("the answer was lost")


class TestNobody:
    @pytest.mark.parametrize(
        ("first", "second", "raised"),
        [
            pytest.param(LATER, NO, LATER, id="one may be told later"),
            pytest.param(NO, PATIENCE, PATIENCE, id="one asks for patience"),
            pytest.param(LATER, UNKNOWN, UNKNOWN, id="one may have been told"),
        ],
    )
    def test_was_told_ends_in_what_does_least_harm(
        self, step: TaskContext, first: Exception, second: Exception, raised: Exception
    ) -> None:
        Board.faults.update(first=first, second=second)
        with pytest.raises(type(raised)) as found:
            notification(SAID, step)
        assert found.value is raised

    def test_will_ever_be_told_is_a_bpmn_error_with_the_reasons(self, step: TaskContext) -> None:
        Board.faults.update(first=NO, second=PermanentError("the wall is gone"))
        with pytest.raises(BusinessError, match="first: CHANNEL_NOT_FOUND: no such wall; second: the wall is gone"):
            notification(SAID, step)


class TestWords:
    SAID = Notification(title="Disk\nfull", message="On host 7.", severity="warning", details={"free": [0, 1]})

    def test_have_one_line_of_heading_and_the_details_below_the_message(self) -> None:
        assert self.SAID.heading == "Disk full"
        assert self.SAID.text == "On host 7.\n\nfree: [0, 1]"

    @pytest.mark.parametrize(
        ("adapter", "target"),
        [("email", {"to": ["ops@example.org"]}), ("slack", {"channel": "C0123456789"}), ("http", {"path": "/alerts"})],
    )
    def test_are_those_of_the_adapter(
        self, monkeypatch: pytest.MonkeyPatch, adapter: str, target: dict[str, object]
    ) -> None:
        monkeypatch.undo()
        known.entries.cache_clear()
        name, words = WORDS[adapter]
        validated(known.adapters()[adapter].operation_of(name), {**words(self.SAID), **target})


class TestAudiences:
    @pytest.mark.parametrize(
        "text",
        ["[]", "{", '{"default": [{"to": ["a@example.org"]}]}', '{"default": [{"connection": "No Name"}]}', '{"a": 1}'],
    )
    def test_that_cannot_be_are_refused_at_the_start(self, text: str) -> None:
        with pytest.raises(SettingsError, match="PROCOS_NOTIFICATION_AUDIENCES"):
            load_settings({"PROCOS_NOTIFICATION_AUDIENCES": text}, dotenv=None)
