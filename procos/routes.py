"""ROUTES: every topic, the Celery task that serves it, its queue, lease and retry policy; the system on one page.

The bridge knows topics from here alone, without importing a task. Packages of third parties add theirs by the entry
point group `procos.routes`: each entry names a mapping from topic to `Route`. `routes()` is the merged table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING

from procos.domain.errors import SettingsError
from procos.domain.external_task import Topic
from procos.domain.retry import RetryPolicy
from procos.queues import Queue

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many external tasks of all topics that name it may be in flight at once, over every queue and bridge."""

    name: str
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the external tasks of a topic go."""

    task_name: str
    queue: str
    module: str
    variables: tuple[str, ...] | None = None
    """The variables the task reads; only these are fetched. None fetches all."""
    lock_duration: timedelta | None = None
    """None means PROCOS_BRIDGE_LOCK_DURATION."""
    time_limit: timedelta | None = None
    """None means PROCOS_WORKER_TIME_LIMIT."""
    largest_age: timedelta | None = None
    """How long one try may take, queue and postponements included; None means PROCOS_BRIDGE_LARGEST_AGE."""
    max_starts: int = 3
    """Starts of one dispatch after which the step becomes an incident: the stop for tasks that kill their process."""
    store_result: bool = True
    """Stored results answer a lost callback; without them the step runs again."""
    at_once: int | None = None
    """Most external tasks of this topic in flight, over all bridges; the rest wait in the engine. None caps nothing."""
    limits: tuple[Limit, ...] = ()
    """Caps shared with other topics, for what they have in common: an API, a licence, a database."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    errors: tuple[str, ...] = ()
    """The BPMN errors the task may raise, INVALID_INPUT apart; `procos deploy` says which a model leaves uncaught."""
    source: str = "procos"


ASKING = ("provider", "model", "max_tokens", "temperature", "complexity_score")
"""What every AI topic that asks a provider reads, beside its own."""
GENERATION_VARIABLES = (
    "template", "template_variables", "messages", "tool_results", "tools", "stop", "json_schema", *ASKING,
)  # fmt: skip
AI_ERRORS = ("BUDGET_EXCEEDED", "CONTENT_FILTERED", "CONTEXT_TOO_LONG", "REFUSED")
SHAPE_ERRORS = (*AI_ERRORS, "VALIDATION_FAILED")
EMAIL_VARIABLES = (
    "connection", "to", "cc", "bcc", "reply_to", "sender", "subject", "text", "html", "attachments", "headers",
    "all_or_none",
)  # fmt: skip
EMAIL_ERRORS = ("RECIPIENTS_REFUSED", "MESSAGE_REFUSED", "MESSAGE_TOO_LARGE", "ADDRESS_UNSUPPORTED")
FORMATTING_VARIABLES = (
    "ai_response", "format_type", "include_metadata", "model_used", "provider", "usage", "response_time_ms",
)  # fmt: skip
ERROR_VARIABLES = ("error_source", "error_code", "error_message", "error_attempt", "raise_incident")
LOOK = timedelta(minutes=2)
"""More than the questions of a system task may take together."""

ROUTES: Mapping[Topic, Route] = MappingProxyType(
    {
        Topic("ai_query"): Route(
            task_name="procos.ai_query",
            queue=Queue.AI,
            module="tasks.ai.ai_query",
            variables=("user_query", *ASKING),
            errors=AI_ERRORS,
        ),
        Topic("text_generation"): Route(
            task_name="procos.text_generation",
            queue=Queue.AI,
            module="tasks.ai.text_generation",
            variables=GENERATION_VARIABLES,
            errors=SHAPE_ERRORS,
        ),
        Topic("ai_completion"): Route(
            task_name="procos.ai_completion",
            queue=Queue.AI,
            module="tasks.ai.ai_completion",
            variables=("prefix", "stop", *ASKING),
            errors=AI_ERRORS,
        ),
        Topic("text_extraction"): Route(
            task_name="procos.text_extraction",
            queue=Queue.AI,
            module="tasks.ai.text_extraction",
            variables=("text", "json_schema", "instructions", *ASKING),
            errors=SHAPE_ERRORS,
        ),
        Topic("code_analysis"): Route(
            task_name="procos.code_analysis",
            queue=Queue.AI,
            module="tasks.ai.code_analysis",
            variables=("code", "language", "file_name", "max_findings", "rules", *ASKING),
            errors=SHAPE_ERRORS,
        ),
        Topic("provider_selection"): Route(
            task_name="procos.provider_selection",
            queue=Queue.AI,
            module="tasks.ai.provider_selection",
            variables=("user_query", "complexity_score", "needs"),
        ),
        Topic("input_validation"): Route(
            task_name="procos.input_validation",
            queue=Queue.GENERIC,
            module="tasks.generic.input_validation",
            errors=("VALIDATION_FAILED",),
        ),
        Topic("response_formatting"): Route(
            task_name="procos.response_formatting",
            queue=Queue.GENERIC,
            module="tasks.generic.response_formatting",
            variables=FORMATTING_VARIABLES,
        ),
        Topic("email_send"): Route(
            task_name="procos.email_send",
            queue=Queue.GENERIC,
            module="tasks.generic.email_send",
            variables=EMAIL_VARIABLES,
            max_starts=1,
            errors=EMAIL_ERRORS,
        ),
        Topic("system_initialization"): Route(
            task_name="procos.system_initialization",
            queue=Queue.GENERIC,
            module="tasks.system.initialization",
            variables=("system_mode", "kernel_version", "startup_time"),
            time_limit=LOOK,
        ),
        Topic("worker_management"): Route(
            task_name="procos.worker_management",
            queue=Queue.GENERIC,
            module="tasks.system.worker_management",
            variables=("action",),
            time_limit=LOOK,
        ),
        Topic("health_monitoring"): Route(
            task_name="procos.health_monitoring",
            queue=Queue.GENERIC,
            module="tasks.system.health_monitoring",
            variables=("consecutive_troubles",),
            time_limit=LOOK,
        ),
        Topic("request_routing"): Route(
            task_name="procos.request_routing",
            queue=Queue.GENERIC,
            module="tasks.system.request_routing",
            errors=("UNKNOWN_REQUEST", "INVALID_REQUEST"),
        ),
        Topic("error_handling"): Route(
            task_name="procos.error_handling",
            queue=Queue.GENERIC,
            module="tasks.system.error_handling",
            variables=ERROR_VARIABLES,
        ),
    }
)


@cache
def routes() -> Mapping[Topic, Route]:
    """Return the built-in routes and those of installed packages.

    Raises:
        SettingsError: a package claims a topic that is taken, its entry is no mapping of routes, or a cap is wrong.
    """
    merged = dict(ROUTES)
    for entry in entry_points(group="procos.routes"):
        added = entry.load()
        if not hasattr(added, "items") or not all(isinstance(route, Route) for route in added.values()):
            raise SettingsError([f"entry point {entry.name!r} of procos.routes is not a mapping of topic to Route"])
        if taken := sorted(merged.keys() & added.keys()):
            raise SettingsError([f"entry point {entry.name!r} claims topics that are taken: {', '.join(taken)}"])
        merged.update(added)
    if problems := _wrong_caps(merged):
        raise SettingsError(problems)
    return MappingProxyType(merged)


def by_queue() -> Mapping[str, Mapping[Topic, Route]]:
    """Return the routes grouped by the queue they publish to."""
    grouped: dict[str, dict[Topic, Route]] = {}
    for topic, route in routes().items():
        grouped.setdefault(route.queue, {})[topic] = route
    return grouped


def _wrong_caps(table: Mapping[Topic, Route]) -> list[str]:
    """Say which caps allow nothing, or differ between two routes."""
    problems, known = [], dict[str, tuple[int, Topic]]()
    for topic, route in table.items():
        if route.at_once is not None and route.at_once < 1:
            problems.append(f"route {topic}: at_once is {route.at_once}, expected 1 or more")
        for limit in route.limits:
            at_once, first = known.setdefault(limit.name, (limit.at_once, topic))
            if limit.at_once != at_once:
                problems.append(
                    f"limit {limit.name!r} is {at_once} in route {first} and {limit.at_once} in route {topic}"
                )
            if not limit.name or limit.at_once < 1:
                problems.append(
                    f"route {topic}: limit {limit.name!r} of {limit.at_once}, expected a name and 1 or more"
                )
    return problems
