"""Calls to the engine: JSON out, JSON or an error back, over `Connections` that `Access` lets in.

Every answer that is not success leaves here as an `EngineError`, every missing answer as
`EngineUnreachableError`. What our engine can do beyond others it says in headers of every answer, which are remembered.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from procos.domain.errors import EngineError, EngineMisconfiguredError, EngineUnreachableError
from procos.engine.access import Access
from procos.engine.answers import NoAnswerError
from procos.engine.connections import NOT_JSON, is_success, json_in
from procos.engine.faults import Answer, fault
from procos.engine.forms import multipart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from procos.engine.answers import Headers, HttpAnswer
    from procos.engine.downloads import Download
    from procos.settings import EngineSettings

NO_CONTENT, UNAUTHORIZED = 204, 401
JSON = "application/json"
NOTHING = object()
FORM_WAIT_SECONDS = 30.0
"""Beyond the timeout of a call: what a deployment holds is parsed."""
LONGEST_FAULT = 256 * 1024
"""Bytes that are read of an answer that is an error where content was asked for."""

Answered = TypeVar("Answered", "HttpAnswer", "Download")


class Transport:
    """Sends requests below the REST root; may be shared by threads."""

    def __init__(self, settings: EngineSettings) -> None:
        self.address = settings.url
        self._access = Access(settings)
        self._connections = self._access.connections()
        self._announced: Headers | None = None

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Any:
        """Read; returns the JSON of the answer."""
        return self._call("GET", path, params=params)

    def heard(self, name: str) -> str | None:
        """Return what the engine's youngest answer said under this name, commands apart; None before the first."""
        return None if self._announced is None else self._announced.get(name)

    def announced(self, name: str) -> str | None:
        """Return what the engine says under this name, and ask it something if it has not answered yet."""
        if self._announced is None:
            self.get("/version")
        return self.heard(name)

    def post(self, path: str, body: object, *, params: Mapping[str, object] | None = None, wait: float = 0.0) -> Any:
        """Send JSON; `wait` seconds are added to the timeout for a long poll. Returns None for an empty answer."""
        return self._call("POST", path, json_body=body, params=params, wait=wait)

    def command(self, path: str, body: object) -> None:
        """Send JSON to what answers nothing; any other answer is not the engine's, whatever its status.

        A page of a proxy that says 200 must never count as a report the engine took. These are the calls a bridge
        makes for each step: what the engine says of itself is heard at every fetch, and not here.
        """
        if self._call("POST", path, json_body=body, with_headers=False) is not None:
            raise _not_the_engine(self.address, "an answer where the engine gives none")

    def put(self, path: str, body: object) -> Any:
        """Replace; returns None for an empty answer."""
        return self._call("PUT", path, json_body=body)

    def delete(self, path: str, params: Mapping[str, object] | None = None) -> None:
        """Delete."""
        self._call("DELETE", path, params=params)

    def post_form(self, path: str, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]) -> Any:
        """Send a multipart form, as deployments are."""
        form, content_type = multipart(fields, files)
        return self._call("POST", path, body=form, content_type=content_type, wait=FORM_WAIT_SECONDS)

    @contextmanager
    def download(self, path: str) -> Iterator[Iterator[bytes]]:
        """Read an answer of any length in pieces; each comes within the timeout of a call."""
        target = self._connections.path + path
        with ExitStack() as begun:

            def begin(shown: str | None) -> Download:
                begun.close()  # one that was refused
                headers = _with({"Accept": "*/*"}, shown)
                return begun.enter_context(self._connections.download(target, headers=headers))

            answer = self._let_in(begin)
            pieces = self._pieces(answer)
            if not is_success(answer.status):
                raise fault(_answer(answer.status, json_in(_beginning(pieces))), address=self.address)
            yield pieces

    def fault_in(self, answer: Mapping[str, Any]) -> EngineError | None:
        """Return the error that one answer of a list stands for, None for success."""
        status = answer.get("status")
        if not isinstance(status, int):
            return _not_the_engine(self.address, "an answer without a status")
        if is_success(status):
            return None
        return fault(_answer(status, answer), address=self.address)

    def _call(
        self, method: str, path: str, *, json_body: object = NOTHING, params: Mapping[str, object] | None = None,
        body: bytes | None = None, content_type: str = JSON, wait: float = 0.0,
        with_headers: bool = True,
    ) -> Any:  # fmt: skip
        if json_body is not NOTHING:
            body = json.dumps(json_body, allow_nan=False).encode()
        target = self._connections.path + path + (f"?{urlencode(params)}" if params else "")
        headers = {"Accept": JSON} | ({} if body is None else {"Content-Type": content_type})

        def send(shown: str | None) -> HttpAnswer:
            return self._connections.call(
                method, target, body=body, headers=_with(headers, shown), wait=wait, with_headers=with_headers
            )

        return self._body_of(self._let_in(send))

    def _let_in(self, send: Callable[[str | None], Answered]) -> Answered:
        """Send a request with what lets us in; what the engine refuses is renewed where it can be, and tried again."""
        shown = self._access.shown()
        try:
            answer = send(shown)
            if answer.status == UNAUTHORIZED and shown is not None:
                renewed = self._access.renewed(shown)
                if renewed != shown:
                    return send(renewed)
        except NoAnswerError as error:
            raise EngineUnreachableError(self.address, error.reason) from error
        return answer

    def _pieces(self, answer: Download) -> Iterator[bytes]:
        try:
            yield from answer.pieces()
        except NoAnswerError as error:
            raise EngineUnreachableError(self.address, error.reason) from error

    def _body_of(self, answer: HttpAnswer) -> Any:
        if not is_success(answer.status):
            raise fault(_answer(answer.status, json_in(answer.data)), address=self.address)
        if answer.headers.lines:
            self._announced = answer.headers  # a proxy's error says nothing about the engine
        if answer.status == NO_CONTENT:
            return None
        body = json_in(answer.data)
        if body is NOT_JSON:
            raise _not_the_engine(self.address, f"{answer.status} with something that is not JSON")
        return body


def _with(headers: Mapping[str, str], shown: str | None) -> Mapping[str, str]:
    return headers if shown is None else {**headers, "Authorization": shown}


def _beginning(pieces: Iterator[bytes]) -> bytes:
    read = b""
    for piece in pieces:
        read += piece
        if len(read) > LONGEST_FAULT:
            break
    return read


def _not_the_engine(address: str, what: str) -> EngineMisconfiguredError:
    return EngineMisconfiguredError(
        f"{address} answers {what}; PROCOS_ENGINE_URL is the REST root, such as http://localhost:8080/engine-rest."
    )


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
