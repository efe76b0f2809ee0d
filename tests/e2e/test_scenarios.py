"""The guide's scenarios, as a person runs them; and what a stack does that the kernel boots."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from tests.kernel_process import kill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TestStartup:
    def test_goes_through_the_guides_four_stages(self, stack: Any) -> None:
        done = stack.procos("scenario", "startup", "--json")
        document = json.loads(done.stdout)

        assert (done.returncode, document["good"]) == (0, True), done.stdout + done.stderr
        assert [stage["title"] for stage in document["stages"]] == ["Environment", "Kernel", "Workers", "Health"]
        found = {finding["what"]: finding["words"] for stage in document["stages"] for finding in stage["findings"]}
        assert found["orchestrator"] == "1 run, expected 1"
        assert "take from it" in found["ai"]

    def test_tells_it_in_words(self, stack: Any) -> None:
        done = stack.procos("scenario", "startup")

        assert done.returncode == 0, done.stderr
        assert "4. Health" in done.stdout
        assert "✓ stack                    runs already" in done.stdout


class TestAiQuery:
    def test_starts_watches_and_reads_the_results(self, stack: Any) -> None:
        done = stack.procos("scenario", "ai-query", "--json")
        document = json.loads(done.stdout)

        assert done.returncode == 0, done.stdout + done.stderr
        assert [stage["title"] for stage in document["stages"]] == ["Start", "Monitor", "Results"]
        results = {finding["what"]: finding["words"] for finding in document["stages"][-1]["findings"]}
        assert results["selected_provider"] == "openai"
        assert results["ai_response"]

    def test_fails_in_words_where_the_question_is_refused(self, stack: Any) -> None:
        done = stack.procos("scenario", "ai-query", "--question", "")

        assert done.returncode == 1
        assert "✗ ai_query_process" in done.stdout


class TestRequest:
    def test_is_answered_by_the_model(self, stack: Any) -> None:
        done = stack.procos("request", "ai_query", "--var", "user_query=What is a process engine?", "--json")
        answer = json.loads(done.stdout)

        assert (done.returncode, answer["variables"]["request_status"]) == (0, "answered"), done.stderr
        assert len(answer["variables"]["ai_response"]) > 20


class TestKernelOfAStack:
    def test_is_shown_beside_its_engine(self, stack: Any) -> None:
        document = stack.status_document()
        engine = next(part for part in document["parts"] if part["name"] == "engine")

        assert document["kernel"]["phase"] == "ready"
        assert engine["pid"] not in {document["kernel"]["pid"], document["supervisor"]["pid"]}
        assert "kernel 6/6  monitor" in (stack.folder / "logs" / "kernel.log").read_text("utf-8")

    def test_shows_a_part_that_fails_within_ten_seconds(self, stack: Any, eventually: Callable[..., None]) -> None:
        pid = stack.pid("flower")
        kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: not stack.status()["flower"]["healthy"], seconds=10, what="flower to be unhealthy")
        finally:
            kill(pid, signal.SIGCONT)
        eventually(lambda: bool(stack.status()["flower"]["healthy"]), seconds=20, what="flower to be well again")


class TestShutdown:
    PARTS = ("engine", "broker", "redis", "bridge", "worker-ai", "worker-generic")

    def test_runs_to_its_end_before_the_parts_stop_and_loses_nothing(
        self, stack_factory: Any, eventually: Callable[..., None], tmp_path: Path
    ) -> None:
        system, effects = stack_factory(*self.PARTS), tmp_path / "effects"
        work = {"seconds": {"type": "Double", "value": 4}, "effects_file": {"type": "String", "value": str(effects)}}
        instances = [system.start("sample_sleep", **work) for _ in range(3)]
        eventually(lambda: _count(effects, "start") == len(instances), seconds=30, what="the work to begin")

        done = system.procos("down")
        assert done.returncode == 0, done.stderr
        log = (system.folder / "logs" / "supervisor.log").read_text("utf-8")
        assert "procos_system_shutdown has ended" in log

        again = system.procos("up", "--detach", "--only", *self.PARTS)
        assert again.returncode == 0, again.stderr
        system.settings.update(json.loads((system.folder / "environment.json").read_text("utf-8")))  # on other ports
        eventually(lambda: system.finished(instances) == len(instances), seconds=60, what="the ends of the instances")
        assert _count(effects, "effect") == len(instances)


def _count(effects: Path, word: str) -> int:
    return effects.read_text("utf-8").count(word) if effects.exists() else 0
