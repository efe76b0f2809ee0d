from __future__ import annotations

from typing import TYPE_CHECKING

from procos.kernel import logs

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class TestLogs:
    def test_sets_the_log_of_the_last_run_aside(self, tmp_path: Path) -> None:
        log = tmp_path / "part.log"
        for words in ("first", "second"):
            logs.begin(log)
            log.write_text(words)
        logs.begin(log)

        assert (log.read_text(), (tmp_path / "part.log.1").read_text()) == ("", "second")

    def test_shows_the_last_lines_alone(self, tmp_path: Path) -> None:
        log = tmp_path / "part.log"
        log.write_text("".join(f"line {number}\n" for number in range(40)))

        assert logs.tail(log, 2) == "line 38\nline 39"

    def test_shows_what_is_no_text(self, tmp_path: Path) -> None:
        log = tmp_path / "part.log"
        log.write_bytes(b"\xff\xfe broken\n")

        assert "broken" in logs.tail(log)

    def test_shows_nothing_of_a_log_that_is_not_there(self, tmp_path: Path) -> None:
        assert logs.tail(tmp_path / "none.log") == ""

    def test_sets_a_log_aside_that_has_grown_too_large_while_it_is_written_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "LARGEST", 10)
        log = tmp_path / "part.log"
        with log.open("ab", buffering=0) as part:
            part.write(b"much too long\n")
            logs.bound(log)
            part.write(b"after\n")

        assert log.read_bytes() == b"after\n"
        assert (tmp_path / "part.log.1").read_bytes() == b"much too long\n"
