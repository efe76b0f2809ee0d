"""One shape of log line for every part: a static dotted event name, and values as fields.

`configure_logs` is called once per process, by the command line, the bridge and the workers. Lines go to stderr,
for people on a terminal, as JSON elsewhere. The contents of variables and secrets are never logged; should a task or a
library do so all the same, what this process knows to be secret is struck out of the finished line.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from procos.domain.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger, Processor

    from procos.settings import LogSettings

SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
MOST_REMEMBERED = 100
_handed_out = Redaction(most=MOST_REMEMBERED)
"""The secrets by name that this process has handed out; where they rotate, there is no end of them."""
_credentials = Redaction()
"""What it runs with."""


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module; ask for it once, at the top."""
    return cast("FilteringBoundLogger", structlog.stdlib.get_logger(name))


def configure_logs(settings: LogSettings, *, secrets: Iterable[str] = ()) -> None:
    """Send every log line of this process to stderr, Celery's and other libraries' included, without these secrets."""
    for secret in secrets:
        _credentials.add(secret)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(settings))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    for chatty in ("amqp", "github", "httpcore2", "httpx2", "kombu", "openai", "slack_sdk", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def keep_out_of_logs(secret: str) -> None:
    """Strike this out of every line from now on, in all its usual forms."""
    _handed_out.add(secret)


def struck(text: str) -> str:
    """Return a text that people will read without anything this process knows to be secret."""
    return _credentials.strike(_handed_out.strike(text))


def strike_out_of_prints() -> None:
    """Strike it out of what is printed too, by tasks and by whatever writes to stdout or stderr in Python."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, _StruckStream):
            setattr(sys, name, _StruckStream(stream))


class _StruckStream:
    """A stream of text in front of another, which gets what is left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(struck(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self._stream.writelines(struck(line) for line in lines)


def _formatter(settings: LogSettings) -> logging.Formatter:
    people = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    renderer: Processor = structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            renderer,
            cast("Processor", _struck_line),
        ],
    )


def _struck_line(_logger: object, _method: str, line: str) -> str:
    return struck(line)
