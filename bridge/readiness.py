"""Whether the bridge can work: engine, broker and Redis, each asked for itself, with the cure of what is wrong.

An outage makes the bridge unready, never dead: `heartbeats` alone decides about that.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bridge.inquiry import Inquiry
from procos.domain.errors import ProcosError
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OK = "ok"
EVERY = timedelta(seconds=5)
PATIENCE = timedelta(seconds=2)

log = get_logger(__name__)


class Readiness:
    """Asks every dependency at most once in a while; `checks` raise what is wrong."""

    def __init__(
        self, checks: Mapping[str, Callable[[], object]], *, every: timedelta = EVERY, patience: timedelta = PATIENCE
    ) -> None:
        self._patience = patience.total_seconds()
        self._inquiries = {name: Inquiry(name, partial(_verdict, check), every=every) for name, check in checks.items()}

    def findings(self) -> Mapping[str, str]:
        """Return `ok` or the trouble and its cure, by dependency."""
        for inquiry in self._inquiries.values():  # all at once, so that the waits run side by side
            inquiry.begin()
        deadline = time.monotonic() + self._patience
        return {name: self._finding(inquiry, deadline) for name, inquiry in self._inquiries.items()}

    def _finding(self, inquiry: Inquiry[str], deadline: float) -> str:
        reply = inquiry.reply(max(deadline - time.monotonic(), 0.0))
        if reply.is_fresh and reply.value is not None:
            return reply.value
        return f"no answer within {self._patience:g} s"


def _verdict(check: Callable[[], object]) -> str:
    try:
        check()
    except ProcosError as error:
        return str(error)
    except Exception as error:
        # A library's error we do not know; it is no reason to answer nothing.
        log.exception("readiness.check_failed")
        return f"cannot be asked: {error or type(error).__name__}"
    return OK
