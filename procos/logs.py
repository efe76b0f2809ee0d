"""One shape of log line for every part: a static dotted event name, and values as fields.

`configure_logs` is called once per process, by the command line, the bridge and the workers. Lines go to stderr,
for people on a terminal, as JSON elsewhere. The contents of variables and secrets are never logged.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

    from procos.settings import LogSettings

SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module; ask for it once, at the top."""
    return cast("FilteringBoundLogger", structlog.stdlib.get_logger(name))


def configure_logs(settings: LogSettings) -> None:
    """Send every log line of this process to stderr, Celery's and other libraries' included."""
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
    for chatty in ("amqp", "urllib3", "kombu"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


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
        ],
    )
