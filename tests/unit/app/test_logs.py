"""Log lines: one shape for our own events and those of libraries."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from procos.logs import configure_logs, get_logger, keep_out_of_logs, strike_out_of_prints, struck
from procos.settings import LogSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield capsys
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


class TestConfigureLogs:
    def test_writes_event_and_fields_as_json_to_stderr(self, lines: pytest.CaptureFixture[str]) -> None:
        configure_logs(LogSettings(format="json", level="INFO"))
        get_logger("bridge.sample").info("sample.happened", external_task_id="t")
        printed = lines.readouterr()
        line = json.loads(printed.err)
        assert (line["event"], line["external_task_id"], line["level"]) == ("sample.happened", "t", "info")
        assert line["logger"] == "bridge.sample"
        assert printed.out == ""

    def test_gives_lines_of_libraries_the_same_shape(self, lines: pytest.CaptureFixture[str]) -> None:
        configure_logs(LogSettings(format="json", level="INFO"))
        logging.getLogger("some.library").warning("a %s", "word")
        assert json.loads(lines.readouterr().err)["event"] == "a word"

    def test_leaves_out_what_is_below_the_level(self, lines: pytest.CaptureFixture[str]) -> None:
        configure_logs(LogSettings(format="json", level="INFO"))
        get_logger("x").debug("sample.detail")
        logging.getLogger("amqp").info("frame")
        assert lines.readouterr().err == ""

    def test_writes_for_people_when_asked(self, lines: pytest.CaptureFixture[str]) -> None:
        configure_logs(LogSettings(format="console"))
        logging.getLogger("x").warning("plain words")
        assert "plain words" in lines.readouterr().err


class TestSecrets:
    """What is known to be secret stays so for the whole process, so each case has one of its own."""

    @pytest.mark.parametrize("form", ["json", "console"])
    def test_are_struck_out_of_events_and_their_fields(self, lines: pytest.CaptureFixture[str], form: str) -> None:
        configure_logs(LogSettings.model_validate({"format": form}))
        secret = f'{form} h\N{LATIN SMALL LETTER U WITH DIAERESIS}nter "two"'
        keep_out_of_logs(secret)
        get_logger("x").warning("x.said", plain=secret, nested={"inner": [secret]}, written=json.dumps(secret))
        printed = lines.readouterr().err
        assert "nter" not in printed
        assert printed.count("***") == 3

    def test_are_struck_out_of_lines_of_libraries(self, lines: pytest.CaptureFixture[str]) -> None:
        configure_logs(LogSettings(format="json"))
        keep_out_of_logs("hunter-of-libraries")
        logging.getLogger("some.client").error("asked with %s", "hunter-of-libraries")
        assert "hunter" not in lines.readouterr().err

    def test_are_struck_out_of_tracebacks(self, lines: pytest.CaptureFixture[str]) -> None:
        configure_logs(LogSettings(format="json"))
        keep_out_of_logs("hunter-of-tracebacks")
        try:
            int("hunter-of-tracebacks")
        except ValueError:
            logging.getLogger("some.client").exception("failed")
        printed = lines.readouterr().err
        assert "with base 10: '***'" in printed
        assert "hunter-of-tracebacks" not in printed

    def test_may_be_known_from_the_start(self, lines: pytest.CaptureFixture[str]) -> None:
        configure_logs(LogSettings(format="json"), secrets=["hunter-from-the-start"])
        get_logger("x").warning("x.said", text="hunter-from-the-start")
        assert json.loads(lines.readouterr().err)["text"] == "***"

    def test_are_struck_out_of_what_is_printed(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, getattr(sys, name))  # put back as they are
        strike_out_of_prints()
        strike_out_of_prints()
        keep_out_of_logs("hunter-of-prints")
        print("token: hunter-of-prints")  # noqa: T201  # the point
        print("token: hunter-of-prints", file=sys.stderr)  # noqa: T201  # the same
        sys.stdout.writelines(["hunter-of-prints\n"])
        assert capsys.readouterr() == ("token: ***\n***\n", "token: ***\n")

    def test_are_struck_out_of_other_texts_on_request(self) -> None:
        keep_out_of_logs("hunter-of-texts")
        assert struck("it said hunter-of-texts") == "it said ***"
