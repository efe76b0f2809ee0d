"""What hostile variables cannot make topic notification do: they are refused, or they are told as plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from procos.domain.errors import PermanentError
from procos.settings import load_settings
from tasks.adapters import known
from tasks.adapters.adapter import validated
from tasks.generic.notification import NotificationInput, notification
from tasks.generic.notifying import LONGEST_CHAT, WORDS, Notification
from tests.tasks.hostile.endings import ANYTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.context import TaskContext

DEEP: Any = []
for _ in range(100):
    DEEP = [DEEP]

REFUSED: list[Any] = [
    pytest.param({"title": ""}, id="no-title"),
    pytest.param({"title": " \n\t"}, id="title-of-blanks"),
    pytest.param({"title": "x" * 201}, id="endless-title"),
    pytest.param({"title": "a\0b"}, id="title-with-nul"),
    pytest.param({"title": "\x1b[2J"}, id="title-with-terminal-codes"),
    pytest.param({"title": "\ud800"}, id="half-a-pair-in-the-title"),
    pytest.param({"title": ["x"]}, id="list-for-a-title"),
    pytest.param({"message": "x" * 20_001}, id="endless-message"),
    pytest.param({"message": "a\0b"}, id="message-with-nul"),
    pytest.param({"severity": "panic"}, id="severity-there-is-not"),
    pytest.param({"audience": "x" * 101}, id="endless-audience"),
    pytest.param({"details": {"a": DEEP}}, id="deep-details"),
    pytest.param({"details": "[" * 100_000}, id="deep-details-as-text"),
    pytest.param({"details": {str(number): 1 for number in range(51)}}, id="too-many-details"),
    pytest.param({"details": {"a": "x" * 100_001}}, id="huge-detail"),
    pytest.param({"details": {"a": float("nan")}}, id="detail-that-is-no-number"),
    pytest.param({"details": {"\ud800": 1}}, id="half-a-pair-in-a-name"),
    pytest.param({"details": [1]}, id="list-for-details"),
]
TOLD: list[Any] = [
    pytest.param({"title": "a\r\nBcc: all@example.org"}, id="title-with-a-header"),
    pytest.param({"title": "<!channel> now"}, id="title-that-calls-everybody"),
    pytest.param({"message": "<@U1> <http://evil.example|bank>"}, id="message-with-a-false-link"),
    pytest.param({"message": "{{secrets.CRM_TOKEN}}"}, id="message-that-names-a-secret"),
    pytest.param({"message": "x" * 20_000, "details": {str(n): "y" * 1900 for n in range(50)}}, id="all-at-its-limits"),
    pytest.param({"details": {"a\nb": "c\nd"}}, id="detail-of-two-lines"),
]


class TestHostileNotification:
    @pytest.mark.parametrize("variables", REFUSED)
    def test_is_refused(self, variables: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as raised:
            NotificationInput.model_validate({"title": "x", **variables})
        assert "input_value" not in str(raised.value)

    @pytest.mark.parametrize("adapter", WORDS)
    @pytest.mark.parametrize("variables", TOLD)
    def test_is_told_in_words_that_the_service_takes(self, adapter: str, variables: dict[str, Any]) -> None:
        said = NotificationInput.model_validate({"title": "x", **variables})
        name, write = WORDS[adapter]
        words = write(Notification(**said.model_dump(exclude={"audience"})))
        targets: dict[str, dict[str, object]] = {
            "email": {"to": ["ops@example.org"]},
            "slack": {"channel": "C1"},
            "http": {},
        }
        validated(known.adapters()[adapter].operation_of(name), {**words, **targets[adapter]})

    def test_calls_nobody_in_a_chat(self) -> None:
        _, write = WORDS["slack"]
        words = write(Notification(title="<!channel>", message="x" * 50_000, severity="error", details={}))
        assert words["message_format"] == "plain"
        assert len(str(words["message"])) == LONGEST_CHAT


class TestAnyVariables:
    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(variables=st.dictionaries(st.sampled_from(sorted(NotificationInput.model_fields)), ANYTHING, max_size=5))
    def test_end_as_a_value_or_an_error_of_ours(
        self, variables: dict[str, Any], context_with: Callable[..., TaskContext]
    ) -> None:
        try:
            said = NotificationInput.model_validate(variables)
        except ValidationError:
            return
        with pytest.raises(PermanentError, match="no such audience"):
            notification(said, context_with(load_settings({}, dotenv=None)))
