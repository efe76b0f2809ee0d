"""HTTP to the engine: one keep-alive session per thread, always with a timeout, proxies of the environment ignored.

`Access` makes the sessions. Every answer that is not success leaves here as an `EngineError`, every missing answer as
`EngineUnreachableError`. What our engine can do beyond others it says in headers of every answer, which are remembered.
"""

from __future__ import annotations

import json
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import requests

from procos.domain.errors import EngineError, EngineMisconfiguredError, EngineUnreachableError
from procos.engine.access import Access
from procos.engine.faults import Answer, fault
from procos.engine.reasons import CONNECT_TIMEOUT, why_unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.settings import EngineSettings


class Transport:
    """Sends requests below the REST root; may be shared by threads."""

    def __init__(self, settings: EngineSettings) -> None:
        self.address = settings.url
        self._timeout = settings.timeout
        self._access = Access(settings)
        self._local = threading.local()
        self._distrusted_before = -math.inf
        self._announced: Mapping[str, str] | None = None

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Any:
        """Read; returns the JSON of the answer."""
        return self._call("GET", path, params=params)

    def heard(self, name: str) -> str | None:
        """Return what the engine's youngest answer said under this name, None before the first."""
        return None if self._announced is None else self._announced.get(name)

    def announced(self, name: str) -> str | None:
        """Return what the engine says under this name, and ask it something if it has not answered yet."""
        if self._announced is None:
            self.get("/version")
        return self.heard(name)

    def post(self, path: str, body: object, *, params: Mapping[str, object] | None = None, wait: float = 0.0) -> Any:
        """Send JSON; `wait` seconds are added to the timeout for a long poll. Returns None for an empty answer."""
        return self._call("POST", path, json=body, params=params, wait=wait)

    def command(self, path: str, body: object) -> None:
        """Send JSON to what answers nothing; any other answer is not the engine's, whatever its status.

        A page of a proxy that says 200 must never count as a report the engine took.
        """
        if self._call("POST", path, json=body) is not None:
            raise _not_the_engine(self.address, "an answer where the engine gives none")

    def put(self, path: str, body: object) -> Any:
        """Replace; returns None for an empty answer."""
        return self._call("PUT", path, json=body)

    def delete(self, path: str, params: Mapping[str, object] | None = None) -> None:
        """Delete."""
        self._call("DELETE", path, params=params)

    def post_form(self, path: str, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]) -> Any:
        """Send a multipart form, as deployments are."""
        return self._call("POST", path, data=fields, files=files, wait=30.0)

    def fault_in(self, answer: Mapping[str, Any]) -> EngineError | None:
        """Return the error that one answer of a list stands for, None for success."""
        status = answer.get("status")
        if not isinstance(status, int):
            return _not_the_engine(self.address, "an answer without a status")
        if requests.codes.ok <= status < requests.codes.multiple_choices:
            return None
        return fault(_answer(status, answer), address=self.address)

    def _call(self, method: str, path: str, *, wait: float = 0.0, **options: Any) -> Any:
        return self._body_of(self._send(method, path, wait=wait, **options))

    def _send(self, method: str, path: str, *, wait: float = 0.0, **options: Any) -> requests.Response:
        timeout = (CONNECT_TIMEOUT, self._timeout + wait)
        began = time.monotonic()
        try:
            return self._session(began).request(
                method, self.address + path, timeout=timeout, allow_redirects=False, **options
            )
        except requests.RequestException as error:
            self._distrusted_before = max(self._distrusted_before, began)
            raise EngineUnreachableError(self.address, why_unanswered(error)) from error

    def _body_of(self, response: requests.Response) -> Any:
        if response.ok:  # a proxy's error says nothing about the engine
            self._announced = response.headers
        if response.status_code == requests.codes.no_content:
            return None
        body = _parsed(response)
        if response.ok and not response.is_redirect:
            if body is NOT_JSON:
                raise _not_the_engine(self.address, f"{response.status_code} with something that is not JSON")
            return body
        raise fault(_answer(response.status_code, body), address=self.address)

    def _session(self, now: float) -> requests.Session:
        """Return this thread's session, with connections that nothing speaks against.

        A call without an answer speaks against every connection that was not used since: whatever stands between us and
        the engine may have dropped them all, and each would take its own time to be found out.
        """
        session: requests.Session = getattr(self._local, "session", None) or self._access.session()
        if getattr(self._local, "used_at", now) <= self._distrusted_before:
            session.close()
        self._local.session, self._local.used_at = session, now
        return session


NOT_JSON = object()


def _not_the_engine(address: str, what: str) -> EngineMisconfiguredError:
    return EngineMisconfiguredError(
        f"{address} answers {what}; PROCOS_ENGINE_URL is the REST root, such as http://localhost:8080/engine-rest."
    )


def _parsed(response: requests.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):  # a proxy's page, in whatever encoding, or brackets without end
        return NOT_JSON


def _answer(status: int, body: Any) -> Answer:
    if not isinstance(body, dict):
        return Answer(status=status)
    code = body.get("code")
    return Answer(
        status=status,
        kind=str(body.get("type") or ""),
        message=str(body.get("message") or ""),
        code=code if isinstance(code, int) else None,
        details=details if isinstance(details := body.get("details"), dict) else {},
    )
