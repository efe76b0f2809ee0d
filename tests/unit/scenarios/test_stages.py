from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from procos.cli import scenario as command
from procos.domain.errors import SettingsError, UsageError
from procos.scenarios import startup as startup_module
from procos.scenarios.ai_query import AiQuery
from procos.scenarios.stage import bad, good, timed
from procos.scenarios.startup import startup
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass
class FakeLast:
    steps: tuple[Any, ...] = ()


@dataclass
class FakeResult:
    """What became of a question."""

    variables: Mapping[str, object]
    is_good: bool = True
    state: str = "COMPLETED"
    ended_at: str = "Question answered"
    seconds: float = 1.5
    incidents: list[str] = field(default_factory=list)
    last: FakeLast = field(default_factory=FakeLast)


@dataclass
class FakeClient:
    """Starts an instance that ends with this result."""

    answer: FakeResult | None = None
    started: list[Any] = field(default_factory=list)
    id: str = "i-1"

    def start(self, key: str, variables: Mapping[str, object]) -> Any:
        if self.answer is None:
            raise UsageError("no process 'ai_query_process' is deployed")
        self.started.append((key, variables))
        return self

    def result(self, *, timeout: float) -> FakeResult:  # noqa: ARG002  # as the real one
        assert self.answer is not None
        return self.answer


class TestStage:
    def test_is_good_when_all_of_it_is(self) -> None:
        assert timed("Both", lambda: [good("a", "there"), good("b", "there")]).is_good
        assert not timed("One", lambda: [good("a", "there"), bad("b", "missing")]).is_good


class TestAiQuery:
    def stages(self, client: Any) -> list[Any]:
        return list(AiQuery(client, "Why?", timeout=5).stages())

    def test_starts_as_the_guide_does_and_shows_its_results(self) -> None:
        client = FakeClient(FakeResult({"ai_response": "Because.", "selected_provider": "openai"}))

        *_, results = self.stages(client)

        assert client.started == [
            (
                "ai_query_process",
                {"user_query": "Why?", "ai_provider": "auto", "max_tokens": 500, "user_id": "scenario"},
            )
        ]
        assert [(finding.what, finding.words) for finding in results.findings] == [
            ("ai_query_process", "COMPLETED at “Question answered” after 1.50 s"),
            ("ai_response", "Because."),
            ("selected_provider", "openai"),
        ]

    def test_ends_with_the_stage_that_went_wrong(self) -> None:
        stages = self.stages(FakeClient(None))

        assert [(stage.title, stage.is_good) for stage in stages] == [("Start", False)]

    def test_is_not_good_where_it_waits_for_a_person(self) -> None:
        stuck = FakeResult({}, is_good=False, state="ACTIVE", incidents=["ask: no provider"])

        stages = self.stages(FakeClient(stuck))

        assert [(stage.title, stage.is_good) for stage in stages] == [("Start", True), ("Monitor", False)]

    def test_misses_an_answer_that_is_not_there(self) -> None:
        *_, results = self.stages(FakeClient(FakeResult({"ai_response": "Because."})))

        assert results.findings[-1] == bad("selected_provider", "is not among the results")


class TestStartup:
    def test_ends_with_an_environment_that_is_not_sound(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def lacks(_: object) -> None:
            raise SettingsError(["engine: Java is missing", "redis: no server"])

        monkeypatch.setattr(startup_module, "check", lacks)
        settings = load_settings({"PROCOS_PROCESS_DIRECTORY": str(tmp_path)}, dotenv=None)

        nobody: Any = None
        (environment,) = startup(settings, nobody, nobody)

        assert [finding.words for finding in environment.findings if not finding.is_good] == [
            "engine: Java is missing", "redis: no server",
        ]  # fmt: skip


class TestCommand:
    @pytest.fixture
    def told(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        def tell(answer: FakeResult, *arguments: str) -> Any:
            monkeypatch.setattr(command, "Client", lambda _: FakeClient(answer))
            return CliRunner().invoke(command.scenario, ["ai-query", *arguments])

        return tell

    def test_tells_the_stages_in_words(self, told: Any) -> None:
        done = told(FakeResult({"ai_response": "Because.", "selected_provider": "openai"}))

        assert done.exit_code == 0
        assert done.stdout.splitlines()[0].startswith("1. Start")
        assert "   ✓ ai_response              Because." in done.stdout

    def test_tells_them_to_programs(self, told: Any) -> None:
        document = json.loads(told(FakeResult({}), "--json").stdout)

        assert (document["scenario"], document["good"]) == ("ai-query", False)
        assert [stage["title"] for stage in document["stages"]] == ["Start", "Monitor", "Results"]

    def test_fails_with_what_it_tells(self, told: Any) -> None:
        assert told(FakeResult({})).exit_code == 1
