"""A service on loopback to ask for real, and the step that asks it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.external_task import Topic
from procos.settings import load_settings
from tasks.adapters.http.adapter import Http
from tasks.adapters.http.connection import HttpConnection
from tasks.generic.http_request import HttpRequestInput, http_request

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_httpserver import HTTPServer

    from tasks.context import TaskContext

Ask = Callable[..., Any]


@pytest.fixture
def connected(httpserver: HTTPServer) -> Callable[..., Http]:
    """Return the adapter with a connection to the service."""

    def build(**fields: Any) -> Http:
        return Http(HttpConnection(**{"url": httpserver.url_for("/api"), "allowed_addresses": ["127.0.0.1"], **fields}))

    return build


@pytest.fixture
def ask(connected: Callable[..., Http]) -> Ask:
    """Ask the service once; `fields` are those of its connection."""

    def asked(fields: dict[str, Any] | None = None, **request: Any) -> Any:
        http = connected(**(fields or {}))
        return http.call_service("request", request, deadline=time.monotonic() + 4, idempotency_key="step-1")

    return asked


@pytest.fixture
def step(
    httpserver: HTTPServer, context_with: Callable[..., TaskContext], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Run the topic as a worker would call it; `names` are further settings, `changes` those of its context."""

    def run(
        names: dict[str, str] | None = None, changes: dict[str, Any] | None = None, **variables: Any
    ) -> dict[str, Any]:
        settings = load_settings(
            {
                "PROCOS_CONNECTIONS__CRM__TYPE": "http",
                "PROCOS_CONNECTIONS__CRM__URL": httpserver.url_for("/api"),
                "PROCOS_CONNECTIONS__CRM__ALLOWED_ADDRESSES": "127.0.0.1, ::1",
                "PROCOS_BLOBS_URL": tmp_path.as_uri(),
                **(names or {}),
            },
            dotenv=None,
        )
        context = replace(context_with(settings), topic=Topic("http_request"), **(changes or {}))
        given = HttpRequestInput.model_validate({"connection": "crm", **variables})
        return http_request(given, context).model_dump()

    return run
