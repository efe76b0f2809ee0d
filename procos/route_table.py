"""ROUTES: every topic that comes with ProcOS, the Celery task that serves it, its queue, lease and retry policy."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from procos.domain.external_task import Topic
from procos.queues import Queue
from procos.route import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

ASKING = ("provider", "model", "max_tokens", "temperature", "complexity_score")
"""What every AI topic that asks a provider reads, beside its own."""
GENERATION_VARIABLES = (
    "template", "template_variables", "messages", "tool_results", "tools", "stop", "json_schema", *ASKING,
)  # fmt: skip
AI_ERRORS = ("BUDGET_EXCEEDED", "CONTENT_FILTERED", "CONTEXT_TOO_LONG", "REFUSED")
SHAPE_ERRORS = (*AI_ERRORS, "VALIDATION_FAILED")
FORMATTING_VARIABLES = (
    "ai_response", "data", "format_type", "include_metadata", "model_used", "provider", "usage", "response_time_ms",
    "columns", "delimiter", "with_header", "quoting", "guard_formulas",
)  # fmt: skip
SLACK_VARIABLES = (
    "connection", "operation", "message", "channel", "blocks", "thread_ts", "reply_broadcast", "message_format",
    "emoji", "ts", "file", "file_name", "title",
)  # fmt: skip
GITHUB_VARIABLES = (
    "connection", "operation", "repository", "title", "body", "labels", "assignees", "number", "state_reason", "head",
    "base", "draft", "workflow", "ref", "workflow_inputs", "query", "limit",
)  # fmt: skip
FILE_VARIABLES = (
    "connection", "operation", "path", "target", "content", "json", "read_as", "encoding", "overwrite", "pattern",
    "recursive", "depth",
)  # fmt: skip
FILE_ERRORS = (
    "PATH_DENIED", "NOT_FOUND", "ALREADY_EXISTS", "IS_A_FOLDER", "NOT_A_FOLDER", "TOO_LARGE", "CONTENT_INVALID",
)  # fmt: skip
EMAIL_VARIABLES = (
    "connection", "to", "cc", "bcc", "reply_to", "sender", "subject", "text", "html", "attachments", "headers",
    "all_or_none",
)  # fmt: skip
EMAIL_ERRORS = ("RECIPIENTS_REFUSED", "MESSAGE_REFUSED", "MESSAGE_TOO_LARGE", "ADDRESS_UNSUPPORTED")
ERROR_VARIABLES = ("error_source", "error_code", "error_message", "error_attempt", "raise_incident")
DATABASE_ERRORS = (
    "CHECK_VIOLATION", "CONSTRAINT_VIOLATION", "DATA_EXCEPTION", "EXCLUSION_VIOLATION", "FOREIGN_KEY_VIOLATION",
    "NOT_NULL_VIOLATION", "RAISED_EXCEPTION", "UNIQUE_VIOLATION",
)  # fmt: skip
HTTP_VARIABLES = (
    "connection", "method", "url", "path", "path_parameters", "query", "headers", "body", "body_as", "response_as",
    "expected_statuses", "timeout", "idempotent",
)  # fmt: skip
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
        Topic("slack_message"): Route(
            task_name="procos.slack_message",
            queue=Queue.GENERIC,
            module="tasks.generic.slack_message",
            variables=SLACK_VARIABLES,
            errors=("CHANNEL_ARCHIVED", "CHANNEL_NOT_FOUND", "NOT_FOUND", "NOT_IN_CHANNEL", "REFUSED"),
        ),
        Topic("github_issue"): Route(
            task_name="procos.github_issue",
            queue=Queue.GENERIC,
            module="tasks.generic.github_issue",
            variables=GITHUB_VARIABLES,
            errors=("ALREADY_EXISTS", "NOT_FOUND", "REFUSED"),
        ),
        Topic("service_call"): Route(
            task_name="procos.service_call",
            queue=Queue.GENERIC,
            module="tasks.generic.service_call",
            variables=("connection", "operation", "parameters"),
        ),
        Topic("file_operation"): Route(
            task_name="procos.file_operation",
            queue=Queue.GENERIC,
            module="tasks.generic.file_operation",
            variables=FILE_VARIABLES,
            errors=FILE_ERRORS,
        ),
        Topic("data_transformation"): Route(
            task_name="procos.data_transformation",
            queue=Queue.GENERIC,
            module="tasks.generic.data_transformation",
            errors=("EXPRESSION_FAILED",),
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
        Topic("notification"): Route(
            task_name="procos.notification",
            queue=Queue.GENERIC,
            module="tasks.generic.notification",
            variables=("audience", "title", "message", "severity", "details"),
            errors=("NOT_NOTIFIED",),
        ),
        Topic("database_query"): Route(
            task_name="procos.database_query",
            queue=Queue.GENERIC,
            module="tasks.generic.database_query",
            variables=("connection", "statement", "sql", "parameters"),
            errors=DATABASE_ERRORS,
        ),
        Topic("http_request"): Route(
            task_name="procos.http_request",
            queue=Queue.GENERIC,
            module="tasks.generic.http_request",
            variables=HTTP_VARIABLES,
            errors=("HTTP_404", "HOST_DENIED", "RESPONSE_INVALID", "RESPONSE_TOO_LARGE"),
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
