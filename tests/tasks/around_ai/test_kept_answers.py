"""Which requests are the same, and what happens without Redis; what is kept in it is in the contract tests."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from procos.domain.errors import BusinessError
from procos.domain.external_task import ExternalTaskId
from procos.settings import load_settings
from tasks.ai.chain import KeptRefusal
from tasks.ai.conversation import Message, Role, Tool, ToolCall
from tasks.ai.guarded_call import GuardedCall
from tasks.ai.kept_answers import KeptAnswers, request_hash
from tests.ai_samples import REDIS_AWAY, answer, context_of, free_profile, profile, question

STEP = ExternalTaskId("task-1")
TOOL = Tool(name="weather", description="How it is outside.", parameters={"type": "object"})
CALLED = Message(role=Role.ASSISTANT, content="", tool_calls=(ToolCall(id="1", name="weather", arguments="{}"),))
SAME = request_hash(profile(), question())


class TestRequestHash:
    def test_is_known(self) -> None:
        """Another value would forget, in a release that changes it, every answer that was kept before."""
        assert SAME == "dcac8b42969da81a1684fd014f6013317c9cb4dff5feb48a807273eef0aa27b6"

    def test_does_not_depend_on_the_order_in_which_a_schema_was_written(self) -> None:
        one, other = {"type": "object", "title": "A"}, {"title": "A", "type": "object"}
        hashes = {
            request_hash(profile(), question(json_schema=schema)) for schema in (one, other, MappingProxyType(one))
        }
        assert len(hashes) == 1

    def test_does_not_depend_on_what_says_nothing_about_the_answer(self) -> None:
        assert request_hash(profile(api_key="another"), question(idempotency_key="task-1", temperature=0)) == SAME

    @pytest.mark.parametrize(
        "change",
        [
            {"model": "another"},
            {"max_tokens": 101},
            {"temperature": 0.1},
            {"stop": ("\n",)},
            {"json_schema": {"type": "object"}},
            {"tools": (TOOL,)},
            {"messages": (CALLED,)},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_depends_on_all_else(self, change: dict[str, object]) -> None:
        assert request_hash(profile(), replace(question(), **change)) != SAME  # type: ignore[arg-type]

    def test_depends_on_the_provider_and_the_words(self) -> None:
        assert request_hash(profile("another"), question()) != SAME
        assert request_hash(profile(), question("What else?")) != SAME


class TestRefusal:
    def test_that_was_kept_is_told_from_one_that_costs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refusal = BusinessError("REFUSED", "no")
        monkeypatch.setattr(KeptAnswers, "find", lambda *_: refusal)
        settings = load_settings({"PROCOS_REDIS_URL": REDIS_AWAY}, dotenv=None)
        assert GuardedCall(context_of(settings))(free_profile(), question()) == KeptRefusal(error=refusal)


class TestWithoutRedis:
    def test_goes_on_as_if_nothing_was_kept(self) -> None:
        kept = KeptAnswers(REDIS_AWAY, kept_seconds=60)
        kept.keep(STEP, SAME, answer())
        assert kept.find(STEP, SAME) is None
