"""Every AI topic from its model, on the real engine and the real local model: shapes are asserted, never words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROCESSES = Path(__file__).parents[2] / "processes"
TRIES = 5
SEVERITIES = {"info", "warning", "error", "critical"}


@pytest.fixture(scope="module")
def ran(stack: Any) -> Callable[..., dict[str, Any]]:
    """Run a process with the sample beside it, and what is said otherwise; returns the whole document."""

    def ran(key: str, *, code: int = 0, **variables: object) -> dict[str, Any]:
        said = [f"--var={name}={json.dumps(value)}" for name, value in variables.items()]
        sample = PROCESSES / key / "sample.json"
        done = stack.procos("run", key, "--vars-file", str(sample), *said, "--json", "--timeout", "150")
        assert done.returncode == code, done.stderr
        return dict(json.loads(done.stdout))

    return ran


def assert_tells_how_it_came_about(variables: Mapping[str, Any]) -> None:
    assert variables["provider"] == variables["selected_provider"] == "openai"
    assert variables["usage"]["total_tokens"] > 0
    assert variables["cost"] == 0.0, "a server on loopback costs nothing"
    assert variables["attempts"][0]["outcome"] == "answered"
    assert variables["response_time_ms"] > 0
    assert variables["untrusted"] is True


class TestTextGeneration:
    def test_fills_a_template(self, ran: Callable[..., dict[str, Any]]) -> None:
        variables = ran("text_generation_process")["variables"]
        assert variables["ai_response"].strip()
        assert len(variables["template_version"]) >= 8
        assert_tells_how_it_came_about(variables)

    def test_stops_at_a_stop_word(self, ran: Callable[..., dict[str, Any]]) -> None:
        # The model says something else each time, and sometimes a single word.
        answers = (ran("text_generation_process")["variables"]["ai_response"] for _ in range(TRIES))
        word = next(words[-1] for answer in answers if len(words := answer.split()) > 1)
        cut = ran("text_generation_process", stop=[word])["variables"]["ai_response"]
        assert word not in cut


class TestCompletion:
    def test_goes_on_with_a_beginning(self, ran: Callable[..., dict[str, Any]]) -> None:
        variables = ran("ai_completion_process")["variables"]
        assert variables["completed_text"].startswith("A process engine is a program that")
        assert variables["completed_text"].endswith(variables["ai_response"])
        assert variables["usage"]["completion_tokens"] <= 40
        assert_tells_how_it_came_about(variables)


class TestFourAtOnce:
    def test_are_all_answered(self, stack: Any, eventually: Callable[..., None]) -> None:
        beginnings = [f"The {word} step of a process is" for word in ("first", "second", "third", "fourth")]
        ids = [
            stack.start(
                "ai_completion_process",
                prefix={"type": "String", "value": beginning},
                max_tokens={"type": "Long", "value": 30},
            )
            for beginning in beginnings
        ]
        eventually(lambda: stack.finished(ids) == len(ids), seconds=90, what="four answers")
        completed = [stack.variables(each)["completed_text"]["value"] for each in ids]
        assert all(text.startswith(beginning) for text, beginning in zip(completed, beginnings, strict=True))


class TestExtraction:
    def test_keeps_to_the_schema(self, ran: Callable[..., dict[str, Any]]) -> None:
        document = ran("text_extraction_process")
        extracted = document["variables"]["extracted"]
        assert extracted.keys() == {"name", "amount"}
        assert isinstance(extracted["name"], str)
        assert isinstance(extracted["amount"], int | float)
        assert_tells_how_it_came_about(document["variables"])


class TestCodeAnalysis:
    def test_finds_what_is_in_the_code(self, ran: Callable[..., dict[str, Any]]) -> None:
        variables = ran("code_analysis_process")["variables"]
        assert all(1 <= finding["line"] <= 2 for finding in variables["findings"])
        assert all(finding["severity"] in SEVERITIES for finding in variables["findings"])
        assert isinstance(variables["summary"], str)
        assert variables["worst_severity"] in SEVERITIES | {"none"}
        assert_tells_how_it_came_about(variables)


class TestAgent:
    def test_answers_or_gives_up_after_its_rounds(self, ran: Callable[..., dict[str, Any]]) -> None:
        document = ran("ai_agent_process")
        variables = document["variables"]
        assert variables["messages"][0]["role"] == "system"
        assert variables["messages"][-1]["role"] in {"assistant", "tool"}
        assert 1 <= variables["rounds"] <= 4

    def test_has_its_tools_run_by_the_process(self, ran: Callable[..., dict[str, Any]]) -> None:
        document = ran("ai_agent_process", ai_provider="scripted")
        variables = document["variables"]
        assert document["steps"][-1]["outcome"] == "completed"
        assert '"state":"shipped"' in variables["ai_response"].replace(" ", "")
        assert variables["ai_response"].endswith("and no such order")
        assert [message["role"] for message in variables["messages"]] == [
            "system", "user", "assistant", "tool", "tool", "assistant",
        ]  # fmt: skip
        assert variables["rounds"] == 2

    def test_gives_up_when_its_rounds_are_used_up(self, ran: Callable[..., dict[str, Any]]) -> None:
        orders = {"99": {"state": "ask again"}}
        document = ran("ai_agent_process", ai_provider="scripted", max_rounds=1, orders=orders)
        assert document["variables"]["rounds"] == 2
        assert document["variables"]["tool_calls"], "what it wanted called is there to be seen"


class TestErrors:
    @pytest.mark.parametrize(("word", "code"), [("filtered", "CONTENT_FILTERED"), ("refused", "REFUSED")])
    def test_are_ends_of_the_model(self, ran: Callable[..., dict[str, Any]], word: str, code: str) -> None:
        document = ran("ai_completion_process", code=1, prefix=f"this is {word}", ai_provider="scripted")
        assert document["variables"]["error_code"] == code


class TestTooLong:
    def test_is_an_end_of_the_model(self, ran: Callable[..., dict[str, Any]]) -> None:
        document = ran("ai_completion_process", code=1, prefix="many words and more of them " * 1500)
        assert document["variables"]["error_code"] == "CONTEXT_TOO_LONG"
