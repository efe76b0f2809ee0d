"""The engine's external task, as the bridge sees it after a fetch.

The engine's lock is our `Lease`, its workerId is `Lease.holder`: "worker" means only a Celery worker here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from procos.domain.variables import TypedValue

ExternalTaskId = NewType("ExternalTaskId", str)
ProcessInstanceId = NewType("ProcessInstanceId", str)
Topic = NewType("Topic", str)
Token = NewType("Token", int)
"""The lock expiration the engine answered at a fetch, in its epoch milliseconds: orders the dispatches of one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds an external task at the engine, and until when by the engine's clock."""

    holder: str
    expires: datetime

    @property
    def token(self) -> Token:
        """The fence: later fetches of the same external task have larger tokens."""
        return Token(round(self.expires.timestamp() * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTask:
    """One external task; `retries` is None until the first failure is reported (engine rule)."""

    id: ExternalTaskId
    topic: Topic
    process_instance_id: ProcessInstanceId
    process_definition_key: str
    activity_id: str
    lease: Lease | None
    retries: int | None = None
    suspended: bool = False
    business_key: str | None = None
    priority: int = 0
    variables: Mapping[str, TypedValue] = field(default_factory=dict)
    extension_properties: Mapping[str, str] = field(default_factory=dict)
    process_definition_id: str = ""
    """Names one version of the process, and with it one model."""
    execution_id: str = ""
    activity_instance_id: str = ""
    """With the execution, the place from which a step sees its variables."""
