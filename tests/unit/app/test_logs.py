"""Log lines: one shape for our own events and those of libraries."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from procos.logs import configure_logs, get_logger
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
