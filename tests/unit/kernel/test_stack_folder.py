from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from procos.kernel.stack import StackState
from procos.kernel.state import StackFolder, stack_environment

if TYPE_CHECKING:
    import pytest


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestStackFolder:
    def test_is_closed_to_everybody_else(self, folder: StackFolder) -> None:
        folder.secret("redis_password")
        folder.save_environment({"PROCOS_REDIS_URL": "redis://:secret@127.0.0.1:1/0"})
        folder.save_state(StackState(pid=1, created=1.0))

        assert mode(folder.root) == 0o700
        private = [folder.secret_file("redis_password"), folder.root / "environment.json", folder.root / "state.json"]
        assert [mode(file) for file in private] == [0o600] * 3

    def test_closes_a_folder_that_was_open(self, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir(mode=0o755)

        StackFolder(tmp_path / "open").create()

        assert mode(tmp_path / "open") == 0o700

    def test_is_invisible_to_git(self, folder: StackFolder) -> None:
        assert (folder.root / ".gitignore").read_text() == "*\n"

    def test_makes_a_secret_up_once(self, folder: StackFolder) -> None:
        first = folder.secret("redis_password")

        assert len(first) >= 32
        assert StackFolder(folder.root).secret("redis_password") == first
        assert folder.secret("broker_password") != first

    def test_leaves_the_old_state_when_the_new_one_cannot_be_written(
        self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder.save_state(StackState(pid=1, created=1.0))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
        try:
            folder.save_state(StackState(pid=2, created=1.0))
        except OSError:
            monkeypatch.undo()

        assert folder.state() == StackState(pid=1, created=1.0)
        assert sorted(file.name for file in folder.root.glob(".state.json.*")) == []

    def test_knows_no_state_where_the_file_is_damaged(self, folder: StackFolder) -> None:
        (folder.root / "state.json").write_text('{"pid": ')

        assert folder.state() is None

    def test_runs_while_somebody_holds_the_lock(self, folder: StackFolder) -> None:
        before = folder.is_running()
        with folder.locked() as is_ours:
            during = folder.is_running()

        assert (before, is_ours, during, folder.is_running()) == (False, True, True, False)
        assert folder.owner_pid() == os.getpid()

    def test_gives_the_lock_to_one_alone(self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("procos.kernel.state.LOCK_LIMIT", 0.0)
        with folder.locked(), StackFolder(folder.root).locked() as is_second:
            assert not is_second

    def test_runs_not_where_there_was_never_a_stack(self, tmp_path: Path) -> None:
        assert not StackFolder(tmp_path / "nowhere").is_running()


class TestStackEnvironment:
    def test_names_the_addresses_of_a_stack_that_runs(self, folder: StackFolder) -> None:
        names = {"PROCOS_REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
        folder.save_environment(names)

        with folder.locked():
            assert stack_environment(folder.root) == names

    def test_is_empty_when_the_supervisor_is_gone(self, folder: StackFolder) -> None:
        folder.save_environment({"PROCOS_REDIS_URL": "redis://127.0.0.1:1/0"})

        assert stack_environment(folder.root) == {}

    def test_is_empty_where_there_was_never_a_stack(self, tmp_path: Path) -> None:
        assert stack_environment(tmp_path / "nowhere") == {}
