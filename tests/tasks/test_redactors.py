"""Which redactor is taken, what it is applied to, and what happens when it fails."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from procos.domain.errors import PermanentError, SettingsError
from procos.settings import load_settings
from tasks.ai import redactors
from tasks.ai.conversation import Message, Question, Role, ToolCall
from tasks.ai.redactors import Redactor, redacted, redacted_text, redactor

CALL = ToolCall(id="1", name="lookup", arguments='{"mail": "a@b.org"}')
QUESTION = Question(
    messages=(
        Message(role=Role.SYSTEM, content="You answer a@b.org."),
        Message(role=Role.ASSISTANT, content="", tool_calls=(CALL,)),
    ),
    model="model",
    max_tokens=10,
    temperature=0.0,
)


def chosen(**environ: str) -> Redactor:
    return redactor(load_settings(environ, dotenv=None).ai)


def failing(_: str) -> str:
    raise ValueError("a@b.org")


class TestRedactor:
    def test_changes_nothing_where_none_is_set(self) -> None:
        assert redacted(QUESTION, chosen()) == QUESTION

    def test_is_the_built_in_one_by_its_name(self) -> None:
        assert redacted_text("a@b.org", chosen(PROCOS_AI_REDACTOR="patterns")) == "[EMAIL]"

    def test_of_a_wrong_name_is_refused_with_the_settings(self) -> None:
        with pytest.raises(SettingsError, match=r"PROCOS_AI_REDACTOR: no redactor 'pattern' is installed; known: p"):
            chosen(PROCOS_AI_REDACTOR="pattern")

    def test_may_come_from_a_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        offer(monkeypatch, EntryPoint("shout", "builtins:ascii", "procos.redactors"))
        assert chosen(PROCOS_AI_REDACTOR="shout") is ascii

    @pytest.mark.parametrize("value", ["no_such_module:function", "sys:version"])
    def test_that_is_no_function_is_an_incident(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        offer(monkeypatch, EntryPoint("broken", value, "procos.redactors"))
        with pytest.raises(PermanentError, match="the redactor 'broken' of PROCOS_AI_REDACTOR"):
            chosen(PROCOS_AI_REDACTOR="broken")


class TestRedacted:
    def test_reaches_all_that_is_said(self) -> None:
        system, assistant = redacted(QUESTION, chosen(PROCOS_AI_REDACTOR="patterns")).messages
        assert system.content == "You answer [EMAIL]."
        assert assistant.tool_calls[0].arguments == '{"mail": "[EMAIL]"}'

    @pytest.mark.parametrize(
        ("function", "reason"), [(failing, "raised ValueError"), (len, "returned a int, expected a text")]
    )
    def test_sends_nothing_where_a_redactor_fails(self, function: Any, reason: str) -> None:
        with pytest.raises(PermanentError, match=reason) as raised:
            redacted(QUESTION, function)
        assert "a@b.org" not in str(raised.value)


def offer(monkeypatch: pytest.MonkeyPatch, entry: EntryPoint) -> None:
    """Act as if a package with this entry point were installed."""

    def entry_points(**wanted: Any) -> EntryPoints:
        return EntryPoints([entry]).select(**wanted)

    monkeypatch.setattr("procos.provider_sections.entry_points", entry_points)
    monkeypatch.setattr(redactors, "entry_points", entry_points)
    redactors._named.cache_clear()
