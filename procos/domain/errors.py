"""Every error ProcOS raises, in one tree.

    ProcosError
    ├── SettingsError                 a setting is missing, unknown or wrong        exit 2
    ├── ModelError                    a BPMN model cannot be deployed               exit 2
    ├── UsageError                    a command was called with what cannot be      exit 2
    │   ├── UnknownRequestError       … a kind of request nobody serves
    │   └── MessageUntakenError       … a BPMN message nobody waits for, or several do
    ├── VariableError                 a value cannot become an engine variable, or back
    ├── DispatchError                 a message is not a dispatch or envelope we can read
    │   └── NewerVersionError         … because it is of a newer version
    ├── PublishRefusedError           the broker has no place for a dispatch
    ├── UnknownTopicError             no route serves a topic
    ├── PartFailedError               a part of the local stack did not come up     exit 1, or the part's
    ├── ReplicaTakenError             another bridge runs under this replica id     exit 2
    ├── UnreachableError              a service does not answer                     exit 3
    │   ├── EngineUnreachableError
    │   ├── BrokerUnreachableError
    │   ├── LedgerUnreachableError
    │   ├── BlobsUnreachableError
    │   └── DatabaseUnreachableError
    ├── EngineError                   the engine answered, and the answer is no
    │   ├── EngineDeniedError         401 or 403                                    exit 2
    │   ├── EngineMisconfiguredError  not a Camunda 7 REST API at this address      exit 2
    │   ├── EngineBusyError           try again later, nothing was changed
    │   ├── EngineConflictError       optimistic locking or deadlock: try again at once
    │   ├── EngineRejectedError       the request itself is refused
    │   ├── TaskGoneError             the external task is finished or deleted
    │   ├── TaskSuspendedError        the process instance is suspended
    │   └── LeaseLostError            another worker id holds the external task, or nobody
    └── TaskError                     what task authors raise
        ├── BusinessError             a BPMN error the model may catch
        ├── TransientError            try again later
        ├── RateLimited               try again later without using up a retry
        ├── PermanentError            no retry can help: an incident
        └── StepCancelled             nobody waits for an outcome

A class exists because somebody handles it differently. Each carries its fields and builds its own message.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import timedelta

MOST_SHOWN = 20
"""Names in a message, which the engine cuts."""


class ProcosError(Exception):
    """The root: an anticipated failure whose message names the cause and, where there is one, the cure."""

    exit_code: int = 1


class SettingsError(ProcosError):
    """Raised before anything is touched, when settings are wrong; carries one line per problem."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class ModelError(ProcosError):
    """Raised when a model is refused; names the file, and line and element where they are known."""

    exit_code = 2

    def __init__(self, source: str, reason: str, *, line: int | None = None, element: str | None = None) -> None:
        self.source, self.reason, self.line, self.element = source, reason, line, element
        self.further: tuple[ModelError, ...] = ()
        place = f"{source}:{line}" if line else source
        super().__init__(f"{place}: {reason}" + (f" (element {element})" if element else ""))

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *map(str, self.further)])

    @classmethod
    def of(cls, source: str, faults: Sequence[tuple[str, int | None, str | None]]) -> ModelError:
        """Make one error of several faults, each its reason, line and element; the first gives it its fields."""
        first, *others = (cls(source, reason, line=line, element=element) for reason, line, element in faults)
        first.further = tuple(others)
        return first


class UsageError(ProcosError):
    """Raised when a command is given what cannot be, such as the key of a process that is not deployed."""

    exit_code = 2


class UnknownRequestError(UsageError):
    """Raised when no process serves a kind of request; `request_routing` makes a BPMN error of it."""

    def __init__(self, kind: str, known: Collection[str], *, alike: Collection[str] = ()) -> None:
        """Say which kinds there are; `kind` is empty where it is no name, so that nobody's text is quoted."""
        self.kind, self.known = kind, tuple(sorted(known))
        what = f"no request of kind {kind!r} is known" if kind else "the kind of a request is missing, or no name"
        shown = ", ".join(self.known[:MOST_SHOWN]) or "none"
        rest = f" and {len(self.known) - MOST_SHOWN} more" if len(self.known) > MOST_SHOWN else ""
        near = difflib.get_close_matches(kind, sorted({*known, *alike}), n=1)
        super().__init__(f"{what}; known kinds: {shown}{rest}" + (f"; did you mean {near[0]}?" if near else ""))


class MessageUntakenError(UsageError):
    """Raised when a BPMN message was taken by nobody: the engine keeps none."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(f"message {message!r} was taken by nobody: {reason}")


class VariableError(ProcosError):
    """Raised when a variable cannot be carried; names it. The outcome is an incident with this text."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"variable {name!r}: {reason}")


class DispatchError(ProcosError):
    """Raised when a message on one of our queues cannot be read; it is parked, never run."""


class NewerVersionError(DispatchError):
    """Raised when a message is of a newer version than ours; it waits until somebody newer reads it."""


class PublishRefusedError(ProcosError):
    """Raised when the broker has no place for dispatches: a queue is gone or full; the poller pauses."""

    def __init__(self, queue: str, count: int) -> None:
        self.queue, self.count = queue, count
        super().__init__(f"the broker refused {count} dispatches: queue {queue!r} is missing or full")


class UnknownTopicError(ProcosError):
    """Raised when an external task's topic has no route; it becomes an incident at once."""

    def __init__(self, topic: str, known: Sequence[str]) -> None:
        self.topic = topic
        super().__init__(f"no route serves topic {topic!r}; known topics: {', '.join(sorted(known))}")


class PartFailedError(ProcosError):
    """Raised when a part of the local stack does not come up; carries the end of its log, and what to exit with."""

    def __init__(self, part: str, reason: str, *, log_tail: str = "", exit_code: int = 1) -> None:
        self.part, self.reason, self.log_tail, self.exit_code = part, reason, log_tail, exit_code
        super().__init__(f"{part}: {reason}")


class ReplicaTakenError(ProcosError):
    """Raised when another bridge runs under the same replica id; the two would take each other's external tasks."""

    exit_code = 2

    def __init__(self, replica_id: str, holder: str) -> None:
        self.replica_id, self.holder = replica_id, holder
        cure = "Set PROCOS_BRIDGE_REPLICA_ID to a name of its own for each."
        super().__init__(f"another bridge runs under the replica id {replica_id!r}: {holder}. {cure}")


class UnreachableError(ProcosError):
    """Raised when a service does not answer in time; the caller waits and tries again."""

    exit_code = 3
    service: ClassVar[str] = "service"
    cure: ClassVar[str] = ""

    def __init__(self, address: str, reason: str, *, cure: str | None = None) -> None:
        self.address, self.reason = address, reason
        cure = self.cure if cure is None else cure
        super().__init__(f"the {self.service} at {address} cannot be reached: {reason}. {cure}".rstrip())


class EngineUnreachableError(UnreachableError):
    """Raised when the engine's REST API does not answer; the outcome of a call under way is unknown."""

    service = "engine"
    cure = "Start it with `procos up`, or set PROCOS_ENGINE_URL."


class BrokerUnreachableError(UnreachableError):
    """Raised when RabbitMQ does not answer; what was published and not confirmed is published again."""

    service = "broker"
    cure = "Start it with `procos up`, or set PROCOS_BROKER_URL."


class LedgerUnreachableError(UnreachableError):
    """Raised when Redis does not answer; fetching stops, completions go on."""

    service = "Redis"
    cure = "Start it with `procos up`, or set PROCOS_REDIS_URL."


class BlobsUnreachableError(UnreachableError):
    """Raised when the store of large values and files fails: a task is tried again, what a bridge has waits."""

    service, cure = "blob store", "Mend it, or set PROCOS_BLOBS_URL."


class DatabaseUnreachableError(UnreachableError):
    """Raised when the database of an engine that is to be started does not answer."""

    service, cure = "database", "Start it, or set PROCOS_ENGINE_DB_URL."


class EngineError(ProcosError):
    """Raised when the engine answers a call with anything but success; carries what it said."""

    def __init__(
        self, message: str, *, status: int = 0, kind: str = "", code: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        self.status, self.kind, self.code, self.details = status, kind, code, details or {}
        super().__init__(message)


class EngineDeniedError(EngineError):
    """Raised on 401 and 403: an operator must mend the credentials, results are kept meanwhile."""

    exit_code = 2


class EngineMisconfiguredError(EngineError):
    """Raised when the address answers, but not as a Camunda 7 REST API would: wrong path, engine name or proxy."""

    exit_code = 2


class EngineBusyError(EngineError):
    """Raised when the engine is shutting down, overloaded or cancelled a poll; nothing was changed."""


class EngineConflictError(EngineError):
    """Raised when two transactions collided; nothing was changed, the same call may pass at once."""


class EngineRejectedError(EngineError):
    """Raised when the engine refuses the request for what it says; repeating it cannot help."""


class TaskGoneError(EngineError):
    """Raised when the external task does not exist: completed before, or its step was cancelled."""


class TaskSuspendedError(EngineError):
    """Raised when the process instance is suspended; the outcome is kept until it is active again."""


class LeaseLostError(EngineError):
    """Raised when the external task is held by another worker id, or by none."""


class TaskError(ProcosError):
    """What a task author raises; anything else a task raises counts as `TransientError`."""


class BusinessError(TaskError):
    """Raise it to throw a BPMN error; a boundary event may catch `code`, else it becomes an incident."""

    def __init__(self, code: str, message: str = "", *, variables: Mapping[str, object] | None = None) -> None:
        self.code, self.message, self.variables = code, message, dict(variables or {})
        super().__init__(f"{code}: {message}" if message else code)


class TransientError(TaskError):
    """Raise it when another try may pass; `retry_in` overrides the delay of the route's retry policy."""

    def __init__(self, message: str, *, code: str = "TRANSIENT", retry_in: timedelta | None = None) -> None:
        self.code, self.retry_in = code, retry_in
        super().__init__(message)


class RateLimited(TaskError):  # noqa: N818  # the name task authors read in a traceback is the event, not "error"
    """Raise it when a service asks for patience; the step is tried again after `retry_in`, retries unchanged."""

    def __init__(self, message: str, *, retry_in: timedelta) -> None:
        self.retry_in = retry_in
        super().__init__(message)


class PermanentError(TaskError):
    """Raise it when no retry can help and no model should catch it: an operator must act."""

    def __init__(self, message: str, *, code: str = "PERMANENT") -> None:
        self.code = code
        super().__init__(message)


class StepCancelled(TaskError):  # noqa: N818  # named as the engine says it, like RateLimited
    """Raised when the step was cancelled: nobody waits for an outcome, so none is reported."""
