"""`procos blobs`, `procos blobs prune`, and what `procos doctor` says of the store."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import procos.engine.endings
from procos.blobs import BlobStore
from procos.blobs.pruning import Ending
from procos.cli.blobs import blobs
from procos.cli.doctor.command import guarded
from procos.cli.doctor.services import blobs_findings
from procos.cli.main import main
from procos.domain.errors import BlobsUnreachableError, SettingsError
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from click.testing import Result

NOW = datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(f"file://{tmp_path}/blobs", largest=1_000_000)


@pytest.fixture
def command(tmp_path: Path, store: BlobStore) -> Callable[..., Result]:
    environment = {"PROCOS_STATE_DIRECTORY": str(tmp_path / "state"), "PROCOS_BLOBS_URL": store.address}
    return lambda *arguments: CliRunner(env=environment).invoke(blobs, arguments)


@pytest.fixture
def endings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Ending]:
    """What the engine knows of instances."""
    known = {
        "old": Ending(at=NOW - timedelta(days=40)),
        "young": Ending(at=NOW - timedelta(days=2)),
        "running": Ending(at=None),
    }

    def ask(_transport: object, ids: list[str]) -> Mapping[str, Ending]:
        return {each: known[each] for each in ids if each in known}

    monkeypatch.setattr(procos.engine.endings, "endings_of", ask)
    return known


def held(store: BlobStore) -> set[str]:
    return {each.process_instance_id for each in store.holdings()}


def fill(store: BlobStore) -> None:
    for number, name in enumerate(("old", "young", "running", "stranger"), start=1):
        store.put(b"x" * 1000 * number, under=name)


class TestBlobs:
    def test_are_listed_by_instance_the_largest_first(self, store: BlobStore, command: Callable[..., Result]) -> None:
        fill(store)
        result = command()
        assert result.exit_code == 0
        assert [line.split()[:4] for line in result.stdout.splitlines()] == [
            ["stranger", "1", "4.0", "kB"], ["running", "1", "3.0", "kB"],
            ["young", "1", "2.0", "kB"], ["old", "1", "1.0", "kB"],
        ]  # fmt: skip
        assert f"4 instances, 4 blobs, 10.0 kB at {store.address}" in result.stderr

    def test_are_a_list_for_programs(self, store: BlobStore, command: Callable[..., Result]) -> None:
        store.put(b"abc", under="one")
        (row,) = json.loads(command("--json").stdout)
        assert (row["process_instance_id"], row["blobs"], row["bytes"]) == ("one", 1, 3)
        assert abs(datetime.fromisoformat(row["youngest"]) - NOW) < timedelta(hours=1)

    def test_are_none_in_an_empty_store(self, command: Callable[..., Result]) -> None:
        result = command()
        assert (result.exit_code, result.stdout) == (0, "")
        assert "0 instances, 0 blobs, 0 bytes" in result.stderr

    def test_are_nowhere_without_a_store(self, tmp_path: Path) -> None:
        result = CliRunner(env={"PROCOS_STATE_DIRECTORY": str(tmp_path)}).invoke(blobs, [])
        assert isinstance(result.exception, SettingsError)

    def test_have_a_command(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(sys, "argv", ["procos", "blobs", "prune", "--help"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        assert "--older-than" in capsys.readouterr().out


@pytest.mark.usefixtures("endings")
class TestPrune:
    def test_removes_what_ended_long_ago_and_nothing_else(
        self, store: BlobStore, command: Callable[..., Result]
    ) -> None:
        fill(store)
        result = command("prune", "--older-than", "30")
        assert result.exit_code == 0
        assert held(store) == {"young", "running", "stranger"}
        assert [line.split()[0] for line in result.stdout.splitlines()] == ["old"]
        assert "1 instance, 1 blob, 1.0 kB removed; 1 instance unknown to the engine kept (--unknown)" in result.stderr

    def test_removes_nothing_in_a_dry_run(self, store: BlobStore, command: Callable[..., Result]) -> None:
        fill(store)
        result = command("prune", "--older-than", "1", "--dry-run")
        assert [line.split()[0] for line in result.stdout.splitlines()] == ["young", "old"]
        assert "would be removed" in result.stderr
        assert len(held(store)) == 4

    def test_removes_unknown_ones_where_that_is_asked_for(
        self, store: BlobStore, command: Callable[..., Result]
    ) -> None:
        fill(store)
        assert command("prune", "--older-than", "1", "--unknown").exit_code == 0
        assert "stranger" in held(store)  # written just now
        result = command("prune", "--older-than", "0", "--unknown", "--json")
        (row,) = json.loads(result.stdout)
        assert (row["process_instance_id"], row["fate"]) == ("stranger", "unknown")
        assert held(store) == {"running"}

    def test_wants_to_know_how_old(self, command: Callable[..., Result]) -> None:
        assert command("prune").exit_code == 2
        assert command("prune", "--older-than", "-1").exit_code == 2


class TestDoctor:
    def findings(self, **environ: str) -> list[tuple[str, str]]:
        chosen = load_settings(environ, dotenv=None)
        return [(each.health.value, each.text) for each in guarded("blobs", blobs_findings, chosen)]

    def test_says_nothing_of_a_store_that_is_not_set(self) -> None:
        assert self.findings() == []

    def test_tries_the_store_and_leaves_nothing(self, store: BlobStore) -> None:
        assert self.findings(PROCOS_BLOBS_URL=store.address) == [
            ("good", f"can be written and read at {store.address}")
        ]
        assert store.holdings() == []

    def test_names_a_store_that_does_not_answer(self, store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise BlobsUnreachableError("file://here", "PermissionError: Permission denied")

        monkeypatch.setattr(BlobStore, "put", fail)
        ((health, text),) = self.findings(PROCOS_BLOBS_URL=store.address)
        assert health == "unreachable"
        assert "Permission denied" in text

    def test_names_a_store_nobody_knows(self) -> None:
        ((health, text),) = self.findings(PROCOS_BLOBS_URL="nothing://here")
        assert health == "bad"
        assert "PROCOS_BLOBS_URL" in text
