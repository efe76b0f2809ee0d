"""Errors end where a person can act on them: in a message with cause and cure, or in an incident."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE, UNREACHABLE = 2, 3
NOBODY = "http://127.0.0.1:9"


class TestCommands:
    def test_refuse_an_unknown_setting_and_name_the_nearest(self, stack: Any) -> None:
        done = stack.procos("routes", PROCOS_ENGINE_ULR="http://x")
        assert done.returncode == USAGE
        assert "did you mean PROCOS_ENGINE_URL" in done.stderr

    def test_name_the_deployed_processes_for_an_unknown_key(self, stack: Any) -> None:
        done = stack.procos("run", "ai_query_proces")
        assert done.returncode == USAGE
        assert "ai_query_process" in done.stderr

    def test_name_line_and_cause_of_a_model_that_is_not_xml(self, stack: Any, tmp_path: Path) -> None:
        model = tmp_path / "broken.bpmn"
        model.write_text("<definitions>\n<process>\n</definitions>")
        done = stack.procos("deploy", str(model))
        assert done.returncode == USAGE
        assert "broken.bpmn:3" in done.stderr

    def test_pass_on_what_the_engine_says_of_a_model_with_line_and_element(self, stack: Any, tmp_path: Path) -> None:
        source = (stack_models() / "sample_noop.bpmn").read_text()
        model = tmp_path / "model_without_target.bpmn"
        model.write_text(source.replace('targetRef="end"', 'targetRef="nowhere"'))
        done = stack.procos("deploy", str(model))
        assert done.returncode == USAGE
        assert "nowhere" in done.stderr
        assert "model_without_target.bpmn:" in done.stderr

    def test_refuse_a_model_whose_topic_nobody_serves(self, stack: Any, tmp_path: Path) -> None:
        model = tmp_path / "nobody.bpmn"
        model.write_text(
            (stack_models() / "sample_noop.bpmn").read_text().replace('topic="sample_noop"', 'topic="sample_nop"')
        )
        done = stack.procos("deploy", str(model))
        assert done.returncode == USAGE
        assert "sample_nop" in done.stderr

    def test_say_that_nothing_answers_at_the_engines_address(self, stack: Any) -> None:
        done = stack.procos("run", "sample_noop", PROCOS_ENGINE_URL=NOBODY)
        assert done.returncode == UNREACHABLE
        assert NOBODY in done.stderr
        assert "procos up" in done.stderr

    def test_say_that_the_address_is_not_a_rest_root(self, stack: Any) -> None:
        done = stack.procos("run", "sample_noop", PROCOS_ENGINE_URL=stack.rest.replace("engine-rest", "wrong-root"))
        assert done.returncode == USAGE
        assert "PROCOS_ENGINE_URL" in done.stderr

    def test_report_every_part_that_is_away(self, stack: Any) -> None:
        done = stack.procos(
            "doctor",
            PROCOS_ENGINE_URL=NOBODY,
            PROCOS_BROKER_URL="amqp://guest:guest@127.0.0.1:9//",
            PROCOS_REDIS_URL="redis://127.0.0.1:9/0",
        )
        assert done.returncode == UNREACHABLE
        assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("✗")] == [
            "engine", "broker", "redis", "deployed",
        ]  # fmt: skip

    def test_find_nothing_wrong_with_a_running_stack(self, stack: Any) -> None:
        done = stack.procos("doctor")
        assert done.returncode == 0, done.stdout
        assert "✗" not in done.stdout


class TestBridgeAtStart:
    def test_stops_at_once_when_the_address_is_not_a_rest_root(self, stack: Any) -> None:
        wrong = stack.rest.replace("engine-rest", "wrong-root")
        done = stack.procos("bridge", timeout=30, PROCOS_ENGINE_URL=wrong, PROCOS_BRIDGE_REPLICA_ID="wrong")
        assert done.returncode == USAGE
        assert "PROCOS_ENGINE_URL" in done.stderr


class TestIncident:
    @pytest.mark.parametrize(
        ("error", "said", "starts"),
        [
            ("permanent", "no retry can help", 1),
            ("business", "OUT_OF_STOCK was not caught", 1),
            ("nan", "variable 'answer'", 1),
            ("transient", "not this time", 3),
        ],
    )
    def test_says_what_went_wrong(self, stack: Any, tmp_path: Path, error: str, said: str, starts: int) -> None:
        effects = tmp_path / "effects"
        outcome = stack.run("sample_fail", "--var", f"error={error}", "--var", f"effects_file={effects}")
        assert said in outcome["incidents"][0]
        assert effects.read_text().count("start") == starts

    def test_says_that_a_task_took_longer_than_its_limit(self, stack: Any) -> None:
        outcome = stack.run("sample_limited", "--var", "seconds=60")
        assert "SoftTimeLimitExceeded" in outcome["incidents"][0]
        assert outcome["duration_s"] < 30

    def test_names_a_variable_that_is_nested_too_deeply(self, stack: Any, eventually: Callable[..., None]) -> None:
        deep = {"type": "Json", "value": "[" * 480 + "]" * 480}
        instance_id = stack.start("sample_values", deep=deep)
        eventually(lambda: bool(stack.incidents(instance_id)), seconds=30, what="an incident")
        assert "variable 'deep': is nested too deeply" in stack.incidents(instance_id)[0]

    def test_names_a_missing_variable(self, stack: Any) -> None:
        outcome = stack.run("sample_sleep")
        assert "INVALID_INPUT" in outcome["incidents"][0]
        assert "seconds" in outcome["incidents"][0]

    def test_of_a_topic_nobody_serves_names_the_topic(self, stack: Any, eventually: Callable[..., None]) -> None:
        source = (stack_models() / "sample_noop.bpmn").read_text()
        source = source.replace('topic="sample_noop"', 'topic="sample_nobody"').replace("sample_noop", "sample_orphan")
        stack.deploy_source("sample_orphan", source)
        instance_id = stack.start("sample_orphan")
        eventually(lambda: bool(stack.incidents(instance_id)), seconds=30, what="an incident")
        assert "no route serves topic 'sample_nobody'" in stack.incidents(instance_id)[0]


class TestRetry:
    def test_succeeds_at_the_third_start(self, stack: Any, tmp_path: Path) -> None:
        effects = tmp_path / "effects"
        outcome = stack.run("sample_fail", "--var", "error=twice", "--var", f"effects_file={effects}")
        assert outcome["state"] == "COMPLETED"
        assert outcome["variables"]["tried"] == 3

    def test_after_a_postponement_uses_up_no_retry(self, stack: Any, tmp_path: Path) -> None:
        effects = tmp_path / "effects"
        outcome = stack.run("sample_fail", "--var", "error=postpone", "--var", f"effects_file={effects}")
        assert outcome["state"] == "COMPLETED"

    def test_ends_in_one_incident_when_a_task_kills_its_process(self, stack: Any, tmp_path: Path) -> None:
        effects = tmp_path / "effects"
        outcome = stack.run("sample_fail", "--var", "error=exit", "--var", f"effects_file={effects}")
        assert "started 3 times without an end" in outcome["incidents"][0]
        assert effects.read_text().count("start") == 3


class TestModelServer:
    def test_away_makes_the_step_wait_with_its_reason_and_go_on_when_it_is_back(
        self, stack: Any, eventually: Callable[..., None]
    ) -> None:
        os.kill(stack.pid("model"), signal.SIGKILL)
        instance_id = stack.start("ai_query_process", user_query={"type": "String", "value": "Are you there?"})
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=90, what="an answer after the model's restart")
        assert stack.variables(instance_id)["ai_response"]["value"]


def stack_models() -> Path:
    return Path(__file__).parents[1] / "samples" / "models"
