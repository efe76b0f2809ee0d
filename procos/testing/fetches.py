"""What a fetch of the engine in memory brings, and to whom: as a real engine answers it."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from procos.domain.variables import BYTES, FILE, TypedValue
from procos.testing.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from procos.domain.external_task import ExternalTask
    from procos.engine.subscription import Filter, Subscription

PIECE = 1000
"""Bytes of content at a time; few, so that small tests see several pieces."""


def is_meant(task: ExternalTask, tenant: str | None, only: Filter) -> bool:
    """Whether a fetch with this filter may bring a task."""
    return (
        (not only.tenants or tenant in only.tenants)
        and (not only.process_keys or task.process_definition_key in only.process_keys)
        and (not only.business_key or task.business_key == only.business_key)
    )


def as_fetched(task: ExternalTask, subscription: Subscription) -> ExternalTask:
    """Return a task as a fetch brings it: the variables asked for, and of a file all but what is in it."""
    wanted = subscription.variables
    return replace(
        task,
        variables={
            name: replace(typed, value=None) if typed.type == FILE else typed
            for name, typed in task.variables.items()
            if wanted is None or name in wanted
        },
    )


@contextmanager
def content_of(task: ExternalTask, name: str) -> Iterator[Iterator[bytes]]:
    """Read piece by piece what is in a variable."""
    typed = task.variables.get(name)
    if typed is None or typed.type not in {FILE, BYTES}:
        raise refused(404, f"Variable instance {name} does not exist")
    content = base64.b64decode(str(typed.value or ""))
    yield (content[start : start + PIECE] for start in range(0, len(content), PIECE))


def check_files(variables: Mapping[str, object]) -> None:
    """Refuse a file without a name, as the engine does."""
    for value in variables.values():
        if isinstance(value, TypedValue) and value.type == FILE and not value.value_info.get("filename"):
            raise refused(500, "Property 'filename' is missing", kind="IllegalArgumentException")
