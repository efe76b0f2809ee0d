"""Where secrets are found: in the settings first, then in a folder, read anew each time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import PermanentError, TransientError
from procos.domain.external_task import Topic
from tasks.secrets import files
from tasks.secrets.sources import check_allowed, secret_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from procos.settings import Settings


def refused(name: str, settings: Settings) -> PermanentError:
    with pytest.raises(PermanentError) as refusal:
        secret_of(name, settings)
    return refusal.value


def mount(folder: Path, version: str, **secrets: str) -> None:
    """Mount secrets as Kubernetes does: links through `..data` to a folder that is swapped for another."""
    (folder / version).mkdir()
    for name, value in secrets.items():
        (folder / version / name).write_text(value)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(version)
    (folder / "..new").replace(folder / "..data")


class TestSecret:
    def test_of_the_settings_comes_first(self, settings_with: Callable[..., Settings], folder: Path) -> None:
        (folder / "TOKEN").write_text("mounted")
        assert secret_of("TOKEN", settings_with(PROCOS_SECRETS__TOKEN="from settings")) == "from settings"

    @pytest.mark.parametrize(
        ("content", "value"),
        [
            ("hunter2", "hunter2"),
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("hunter2\n\n", "hunter2\n"),
            (" hunter2 ", " hunter2 "),
            ("günter\n", "günter"),
        ],
    )
    def test_of_a_file_is_its_text_without_the_last_newline(
        self, settings_with: Callable[..., Settings], folder: Path, content: str, value: str
    ) -> None:
        (folder / "TOKEN").write_bytes(content.encode())
        assert secret_of("TOKEN", settings_with()) == value

    def test_of_a_file_is_read_anew_each_time(self, settings_with: Callable[..., Settings], folder: Path) -> None:
        settings = settings_with()
        for value in ("first", "second"):
            (folder / "TOKEN").write_text(value)
            assert secret_of("TOKEN", settings) == value

    def test_that_kubernetes_has_mounted_is_found_and_rotates(
        self, settings_with: Callable[..., Settings], folder: Path
    ) -> None:
        for version, value in (("..2026_1", "first"), ("..2026_2", "second")):
            mount(folder, version, TOKEN=value)
            assert secret_of("TOKEN", settings_with()) == value

    def test_survives_a_folder_that_is_swapped_while_it_is_read(
        self, settings_with: Callable[..., Settings], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mount(folder, "..2026_1", TOKEN="first")
        really_open = os.open

        def swapping(path: Path, *more: int) -> int:
            monkeypatch.setattr(os, "open", really_open)
            mount(folder, "..2026_2", TOKEN="second")
            (folder / "..2026_1" / "TOKEN").unlink()
            return really_open(path, *more)

        monkeypatch.setattr(os, "open", swapping)
        assert secret_of("TOKEN", settings_with()) == "second"

    def test_that_is_missing_is_named_with_the_places_it_was_looked_for(
        self, settings_with: Callable[..., Settings], folder: Path
    ) -> None:
        error = refused("CRM_TOKEN", settings_with())
        assert error.code == "SECRET_MISSING"
        for part in ("CRM_TOKEN", "PROCOS_SECRETS__CRM_TOKEN", "PROCOS_SECRETS_DIRECTORY", str(folder)):
            assert part in str(error)

    def test_that_is_missing_without_a_folder_says_that_there_is_none(
        self, settings_with: Callable[..., Settings]
    ) -> None:
        error = refused("TOKEN", settings_with(PROCOS_SECRETS_DIRECTORY=""))
        assert "PROCOS_SECRETS_DIRECTORY neither" in str(error)

    def test_is_missing_where_its_folder_is(self, settings_with: Callable[..., Settings], folder: Path) -> None:
        folder.rmdir()
        assert refused("TOKEN", settings_with()).code == "SECRET_MISSING"

    @pytest.mark.parametrize("value", ["", "abc", "abc\n"])
    def test_that_is_too_short_is_refused(
        self, settings_with: Callable[..., Settings], folder: Path, value: str
    ) -> None:
        (folder / "TOKEN").write_text(value)
        error = refused("TOKEN", settings_with())
        assert error.code == "SECRET_TOO_SHORT"
        assert "abc" not in str(error)


class TestFile:
    def test_behind_a_link_out_of_the_folder_is_not_read(
        self, settings_with: Callable[..., Settings], folder: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.write_text("hunter2")
        (folder / "TOKEN").symlink_to(outside)
        error = refused("TOKEN", settings_with())
        assert (error.code, "leads out of the folder" in str(error)) == ("SECRET_UNREADABLE", True)

    def test_behind_a_folder_that_leads_out_is_not_read(
        self, settings_with: Callable[..., Settings], folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "TOKEN").write_text("hunter2")
        (folder / "..data").symlink_to(tmp_path / "outside")
        (folder / "TOKEN").symlink_to("..data/TOKEN")
        assert refused("TOKEN", settings_with()).code == "SECRET_UNREADABLE"

    def test_that_is_a_link_to_itself_is_refused(self, settings_with: Callable[..., Settings], folder: Path) -> None:
        (folder / "TOKEN").symlink_to("TOKEN")
        assert refused("TOKEN", settings_with()).code == "SECRET_UNREADABLE"

    def test_that_is_a_pipe_is_refused_at_once(self, settings_with: Callable[..., Settings], folder: Path) -> None:
        os.mkfifo(folder / "TOKEN")
        assert "no plain file" in str(refused("TOKEN", settings_with()))

    def test_that_is_a_folder_is_refused(self, settings_with: Callable[..., Settings], folder: Path) -> None:
        (folder / "TOKEN").mkdir()
        assert refused("TOKEN", settings_with()).code == "SECRET_UNREADABLE"

    @pytest.mark.parametrize(("content", "said"), [(b"x" * (files.LARGEST + 1), "bytes"), (b"hunter\xff", "not UTF-8")])
    def test_that_is_no_short_text_is_refused_without_its_contents(
        self, settings_with: Callable[..., Settings], folder: Path, content: bytes, said: str
    ) -> None:
        (folder / "TOKEN").write_bytes(content)
        error = refused("TOKEN", settings_with())
        assert said in str(error)
        assert "hunter" not in str(error)

    def test_that_cannot_be_read_now_is_worth_another_try(
        self, settings_with: Callable[..., Settings], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "TOKEN").write_text("hunter2")

        def fail(*_: object) -> int:
            raise OSError(116, "Stale file handle")

        monkeypatch.setattr(os, "open", fail)
        with pytest.raises(TransientError, match="Stale file handle") as error:
            secret_of("TOKEN", settings_with())
        assert error.value.code == "SECRET_UNREADABLE"

    def test_that_may_not_be_read_is_for_the_operator(
        self, settings_with: Callable[..., Settings], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "TOKEN").write_text("hunter2")

        def fail(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", fail)
        assert "Permission denied" in str(refused("TOKEN", settings_with()))


class TestAllowed:
    def test_are_the_secrets_of_the_topic(self, settings_with: Callable[..., Settings]) -> None:
        settings = settings_with(PROCOS_SECRETS_ALLOWED='{"http_request": ["A"], "email_send": ["B"]}')
        check_allowed("A", Topic("http_request"), settings)
        for name, topic in (("B", "http_request"), ("A", "email_send"), ("A", "ai_query")):
            with pytest.raises(PermanentError, match="PROCOS_SECRETS_ALLOWED") as refusal:
                check_allowed(name, Topic(topic), settings)
            assert refusal.value.code == "SECRET_DENIED"
            assert f'{{"{topic}": ["{name}"]}}' in str(refusal.value)
