"""A question travels through engine, bridge, Celery and the local model, and comes back answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTION = "What is a process engine?"


@pytest.fixture(scope="module")
def answered(stack: Any) -> dict[str, Any]:
    done = stack.procos("run", "ai_query_process", "--var", f"user_query={QUESTION}", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


class TestQuestion:
    def test_ends_completed_with_the_models_text(self, answered: dict[str, Any]) -> None:
        assert answered["state"] == "COMPLETED"
        assert len(answered["variables"]["ai_response"]) > 20
        assert answered["variables"]["formatted_response"] == answered["variables"]["ai_response"]

    def test_counts_tokens_and_milliseconds(self, answered: dict[str, Any]) -> None:
        variables = answered["variables"]
        assert variables["usage"]["total_tokens"] > variables["usage"]["completion_tokens"] > 0
        assert 0 < variables["response_time_ms"] < 60_000
        assert variables["provider"] == variables["selected_provider"] == "openai"

    def test_names_queue_and_worker_of_each_step(self, answered: dict[str, Any]) -> None:
        assert [(step["topic"], step["queue"]) for step in answered["steps"]] == [
            ("input_validation", "generic"),
            ("provider_selection", "ai"),
            ("ai_query", "ai"),
            ("response_formatting", "generic"),
        ]
        assert all("@" in step["worker"] and step["outcome"] == "completed" for step in answered["steps"])

    def test_is_answered_for_the_guides_start_call(self, stack: Any, eventually: Callable[..., None]) -> None:
        instance_id = stack.start(
            "ai_query_process",
            user_query={"type": "String", "value": QUESTION},
            ai_provider={"type": "String", "value": "auto"},
            max_tokens={"type": "Long", "value": 40},
            user_id={"type": "String", "value": "user-1"},
        )
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=60, what="the answer")
        variables = stack.variables(instance_id)
        assert variables["ai_response"]["value"]
        assert variables["selected_provider"]["value"] == "openai"
        assert json.loads(variables["usage"]["value"])["completion_tokens"] <= 40


class TestBadInput:
    @pytest.mark.parametrize(
        ("variable", "named"),
        [
            ({"type": "String", "value": "   "}, "user_query"),
            ({"type": "Integer", "value": 42}, "user_query"),
            ({"type": "Json", "value": json.dumps("x" * 1_000_000)}, "user_query"),
            ({"type": "Json", "value": '"a\\u0000b"'}, "user_query"),
        ],
        ids=["blank", "a number", "a megabyte", "with NUL"],
    )
    def test_ends_at_its_own_end_event_and_names_the_variable(
        self, stack: Any, eventually: Callable[..., None], variable: dict[str, object], named: str
    ) -> None:
        instance_id = stack.start("ai_query_process", user_query=variable)
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the refusal")
        variables = stack.variables(instance_id)
        assert variables["error_code"]["value"] in {"VALIDATION_FAILED", "INVALID_INPUT"}
        assert named in variables["error_message"]["value"]
        assert "ai_response" not in variables

    def test_makes_procos_run_exit_with_1(self, stack: Any) -> None:
        done = stack.procos("run", "ai_query_process", "--var", "user_query=")
        assert done.returncode == 1
        assert "user_query" in done.stdout
