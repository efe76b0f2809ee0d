"""What a thread looks at while it waits for an AI provider: whether it still should.

Whoever has a reason to end a wait says so with `checked`; the connections of `tasks.ai.providers.waiting` look.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_thread = threading.local()


@contextmanager
def checked(check: Callable[[], None]) -> Iterator[None]:
    """Let what this thread waits for in the meantime end with whatever `check` raises; checks around it count too."""
    around = _checks()
    _thread.checks = (*around, check)
    try:
        yield
    finally:
        _thread.checks = around


def look() -> None:
    """Return if waiting still makes sense."""
    for check in _checks():
        check()


def _checks() -> tuple[Callable[[], None], ...]:
    checks: tuple[Callable[[], None], ...] = getattr(_thread, "checks", ())
    return checks
