"""HTTP to the engine: one keep-alive session per thread, always with a timeout, proxies of the environment ignored.

Every answer that is not success leaves here as an `EngineError`, every missing answer as `EngineUnreachableError`.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import requests

from procos.domain.errors import EngineMisconfiguredError, EngineUnreachableError
from procos.engine.faults import Answer, fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.settings import EngineSettings

CONNECT_TIMEOUT = 5.0


class Transport:
    """Sends requests below the REST root; may be shared by threads."""

    def __init__(self, settings: EngineSettings) -> None:
        self.address = settings.url
        self._timeout = settings.timeout
        self._settings = settings
        self._local = threading.local()

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Any:
        """Read; returns the JSON of the answer."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: object, *, wait: float = 0.0) -> Any:
        """Send JSON; `wait` seconds are added to the timeout for a long poll. Returns None for an empty answer."""
        return self._call("POST", path, json=body, wait=wait)

    def put(self, path: str, body: object) -> Any:
        """Replace; returns None for an empty answer."""
        return self._call("PUT", path, json=body)

    def delete(self, path: str, params: Mapping[str, object] | None = None) -> None:
        """Delete."""
        self._call("DELETE", path, params=params)

    def post_form(self, path: str, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]) -> Any:
        """Send a multipart form, as deployments are."""
        return self._call("POST", path, data=fields, files=files, wait=30.0)

    def _call(self, method: str, path: str, *, wait: float = 0.0, **options: Any) -> Any:
        url = self.address + path
        try:
            response = self._session().request(
                method, url, timeout=(CONNECT_TIMEOUT, self._timeout + wait), allow_redirects=False, **options
            )
        except requests.RequestException as error:
            raise EngineUnreachableError(self.address, _reason(error)) from error
        return self._body_of(response)

    def _body_of(self, response: requests.Response) -> Any:
        if response.status_code == requests.codes.no_content:
            return None
        body = _parsed(response)
        if response.ok and not response.is_redirect:
            if body is NOT_JSON:
                raise EngineMisconfiguredError(
                    f"{self.address} answers {response.status_code} with something that is not JSON; "
                    "PROCOS_ENGINE_URL is the REST root, such as http://localhost:8080/engine-rest."
                )
            return body
        raise fault(_answer(response.status_code, body), address=self.address)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = _new_session(self._settings)
        return session


NOT_JSON = object()


def _new_session(settings: EngineSettings) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers["Accept"] = "application/json"
    if settings.token:
        session.headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    elif settings.user and settings.password:
        session.auth = (settings.user, settings.password.get_secret_value())
    return session


def _parsed(response: requests.Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
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


def _reason(error: requests.RequestException) -> str:
    """Name the failure without the library's wrapping, which repeats the address several times."""
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {CONNECT_TIMEOUT:.0f} s"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    text = str(error)
    if "Connection refused" in text:
        return "connection refused"
    if "Name or service not known" in text or "NameResolutionError" in text:
        return "unknown host name"
    return "connection lost" if isinstance(error, requests.ConnectionError) else type(error).__name__
