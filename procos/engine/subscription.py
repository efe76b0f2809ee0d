"""Which external tasks a fetch asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from procos.domain.external_task import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which external tasks of a topic to fetch; what is empty restricts nothing, what is set must all hold."""

    tenants: tuple[str, ...] = ()
    process_keys: tuple[str, ...] = ()
    business_key: str | None = None


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One topic of a fetch: how long to lock, which variables to bring (None: all), and of which processes."""

    topic: Topic
    lock_duration: timedelta
    variables: tuple[str, ...] | None = None
    only: Filter = EVERYTHING
