"""One request from its first byte to an answer a process can use: sent, followed, read, judged.

Redirects are followed here and not by a library, since each is a request of its own: its address is checked anew, and
what belongs to one origin (credentials, headers, certificate, body) stays there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from procos import __version__
from procos.domain.errors import BlobsUnreachableError, BusinessError, PermanentError
from procos.domain.redaction import Redaction
from tasks.adapters.calling import outcome_unknown
from tasks.adapters.http.address import HOST_DENIED, INVALID_INPUT, Address, filled, joined, parsed, redirected
from tasks.adapters.http.bodies import body_of
from tasks.adapters.http.connection import HttpConnection, base_of
from tasks.adapters.http.content import excerpt, headers_of, json_in, kept, kind_of, name_in, parted, text_in, whole
from tasks.adapters.http.credentials import AUTH_FAILED, Shown, shown
from tasks.adapters.http.reading import ACCEPTED, pieces
from tasks.adapters.http.request import HttpAnswer, fields_of, is_repeatable
from tasks.adapters.http.transport import LONGEST_IDLE, LONGEST_IDLE_ONCE, Outgoing, sent
from tasks.adapters.http.verdict import is_fine, raise_if_later, raise_if_unknown, waited
from tasks.adapters.http.wire import Exchange
from tasks.deeds import OUTCOME_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse

    from tasks.adapters.adapter import Call
    from tasks.adapters.http.bodies import Body
    from tasks.adapters.http.connection import Bounds
    from tasks.adapters.http.request import HttpRequest
    from tasks.blobs import StepBlobs

USER_AGENT = f"ProcOS/{__version__}"
UNAUTHORISED, SEE_OTHER = 401, 303
REDIRECTS, WITH_BODY = {301, 302, 303, 307, 308}, {307, 308}
SAFE = {"GET", "HEAD"}
TOO_MANY_REDIRECTS = "TOO_MANY_REDIRECTS"
GOES_ANYWHERE = {"accept", "accept-language", "accept-encoding", "user-agent"}
"""The headers another origin may see; any other may be what lets us in, whatever it is called."""


@dataclass(slots=True)
class _State:
    """How far a conversation has come."""

    outgoing: Outgoing
    exchange: Exchange
    redirects: int = 0
    attempts: int = 1


class Conversation:
    """Asks once; made for one request."""

    def __init__(self, request: HttpRequest, connection: Bounds, call: Call, blobs: StepBlobs | None) -> None:
        self._request, self._connection, self._call, self._blobs = request, connection, call, blobs
        self._own = connection if isinstance(connection, HttpConnection) else None
        self._repeatable = repeatable(request, connection)
        self._begun = time.monotonic()
        self._deadline = min(call.deadline, self._begun + (request.timeout or float("inf")))
        self._struck = Redaction()

    def held(self) -> HttpAnswer:
        """Send the request, follow where it leads, and return the answer.

        Raises:
            BusinessError: INVALID_INPUT, HOST_DENIED, HTTP_<status>, RESPONSE_INVALID, RESPONSE_TOO_LARGE,
                TOO_MANY_REDIRECTS.
            TransientError: nothing was sent, or it may be sent again.
            RateLimited: the service asks for patience.
            PermanentError: OUTCOME_UNKNOWN, AUTH_FAILED, CONNECTION_INVALID, or of the blob store.
        """
        address, body = self._address(), body_of(self._request, self._blobs)
        self._home = address.origin
        answer, state = self._let_in(address, body)
        try:
            while self._leads_on(answer):
                answer = self._led_on(answer, state, body)
            return self._judged(answer, state)
        except BaseException:
            answer.close()
            raise

    def _leads_on(self, answer: BaseHTTPResponse) -> bool:
        is_redirect = answer.status in REDIRECTS and "location" in answer.headers
        return is_redirect and answer.status not in self._request.expected_statuses

    def _address(self) -> Address:
        request = self._request
        if self._own is None:
            if request.url is None:
                raise BusinessError(INVALID_INPUT, "url: expected an address, or a connection and a path")
            address = parsed(filled(request.url, request.path_parameters, "url"))
            if address.scheme != "https":
                text = f"{address.place}: without a connection only https is spoken; one with an http URL allows it"
                raise BusinessError(HOST_DENIED, text)
        else:
            if request.url is not None:
                raise BusinessError(INVALID_INPUT, "url: the connection has one; path is joined under it")
            address = joined(base_of(self._own), filled(request.path or "", request.path_parameters, "path"))
        return address.with_query(request.query)

    def _let_in(self, address: Address, body: Body | None) -> tuple[BaseHTTPResponse, _State]:
        """Send the request with what shows who we are; once more where a token had run out."""
        credentials = shown(self._own, self._exchange) if self._own else Shown()
        state = _State(self._outgoing(address, body, credentials), self._exchange())
        answer = self._sent(state)
        if answer.status != UNAUTHORISED or credentials.token is None or self._own is None:
            return answer, state
        answer.close()  # whatever it says: a new token decides
        credentials = shown(self._own, self._exchange, instead_of=credentials.token)
        state.outgoing, state.exchange = self._outgoing(address, body, credentials), self._exchange()
        state.attempts += 1
        return self._sent(state), state

    def _outgoing(self, address: Address, body: Body | None, credentials: Shown) -> Outgoing:
        if credentials.token is not None:
            self._struck.add(credentials.token)
        headers = {"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": ACCEPTED}
        if body is not None:
            headers["content-type"] = body.media_type
        given = [*(self._own.headers.items() if self._own else ()), *self._request.headers.items()]
        headers |= {name.lower(): value for name, value in given}
        if body is not None and body.media_type.startswith("multipart/"):
            headers["content-type"] = body.media_type  # it names the boundary
        if self._own and self._own.idempotency_header and not is_repeatable(self._request):
            headers.setdefault(self._own.idempotency_header.lower(), self._call.idempotency_key)
        headers |= {name.lower(): value for name, value in credentials.headers.items()}
        return Outgoing(
            method=self._request.method,
            address=address.with_query(credentials.query),
            headers={name: _as_sent(value) for name, value in (headers | self._framing(body)).items()},
            body=body.content() if body else None,
            is_repeatable=self._repeatable,
        )

    def _framing(self, body: Body | None) -> dict[str, str]:
        if body is not None:
            return {"content-length": str(body.size)}
        return {"content-length": "0"} if self._request.method in {"POST", "PUT", "PATCH"} else {}

    def _led_on(self, answer: BaseHTTPResponse, state: _State, body: Body | None) -> BaseHTTPResponse:
        """Follow a redirect; where that says that what must not be done twice was done, no error may deny it."""
        outgoing = state.outgoing
        is_over = outgoing.is_over or not (outgoing.is_repeatable or answer.status in WITH_BODY)
        try:
            state.outgoing = replace(self._following(answer, state, body), is_over=is_over)
            answer.close()
            state.exchange, state.redirects = self._exchange(), state.redirects + 1
            return self._sent(state)
        except (BusinessError, PermanentError) as error:
            if not is_over or error.code == OUTCOME_UNKNOWN:
                raise
            text = f"{outgoing.address.place}: the request was taken, and its result is not to be had ({error})"
            raise outcome_unknown(text) from error

    def _following(self, answer: BaseHTTPResponse, state: _State, body: Body | None) -> Outgoing:
        """Return the request a redirect asks for.

        Raises:
            BusinessError: HOST_DENIED, TOO_MANY_REDIRECTS, INVALID_INPUT; HTTP_<status> where a body would have to go
                to another origin.
        """
        outgoing = state.outgoing
        if state.redirects >= self._connection.most_redirects:
            text = f"{outgoing.address.place}: more than {self._connection.most_redirects} redirects"
            raise BusinessError(TOO_MANY_REDIRECTS, text)
        address = redirected(outgoing.address, answer.headers["location"])
        if outgoing.address.scheme == "https" and address.scheme == "http":
            raise BusinessError(HOST_DENIED, f"{outgoing.address.place}: redirects from https to http")
        is_at_home, keeps = address.origin == self._home, answer.status in WITH_BODY
        is_plain = outgoing.method in SAFE
        if keeps and not is_plain and not is_at_home:
            raise self._error(answer, state)
        headers = dict(outgoing.headers)
        if not is_at_home:
            headers = {name: value for name, value in headers.items() if name in GOES_ANYWHERE}
        if keeps or is_plain:
            content = body.content() if body and keeps and is_at_home else None
            if content is None:
                headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
            return replace(outgoing, address=address, headers=headers, body=content)
        headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
        return replace(outgoing, method="GET", address=address, headers=headers, body=None, is_repeatable=True)

    def _sent(self, state: _State) -> BaseHTTPResponse:
        at_home = state.outgoing.address.origin == self._home
        return sent(state.outgoing, self._connection, state.exchange, at_home=at_home)

    def _exchange(self) -> Exchange:
        idle = LONGEST_IDLE if self._repeatable else LONGEST_IDLE_ONCE
        return Exchange(deadline=self._deadline, read_timeout=self._connection.read_timeout, longest_idle=idle)

    def _judged(self, answer: BaseHTTPResponse, state: _State) -> HttpAnswer:
        status, place, outgoing = answer.status, state.outgoing.address.place, state.outgoing
        if is_fine(status, self._request.expected_statuses):
            return self._answer(answer, state, self._done(answer, state))
        wait = waited(answer.headers.get("retry-after"), longest_wait=self._connection.longest_wait)
        raise_if_unknown(status, place, wait=wait, is_repeatable=outgoing.is_repeatable, is_over=outgoing.is_over)
        raise_if_later(status, place, wait=wait)
        raise self._error(answer, state)

    def _error(self, answer: BaseHTTPResponse, state: _State) -> Exception:
        """Return the end a model may catch, with what the service said; or an operator's, if it lets us in no more."""
        status, place = answer.status, state.outgoing.address.place
        at_home = state.outgoing.address.origin == self._home
        if status == UNAUTHORISED and at_home and self._shows_who_we_are():
            return PermanentError(
                f"{place} does not let us in (status {status}): mend its credentials", code=AUTH_FAILED
            )
        largest = self._connection.largest_response
        stream = pieces(answer, state.outgoing, state.exchange, largest=largest)
        content = excerpt(stream, answer.headers.get("content-type", ""), place)
        found = self._answer(answer, state, content)
        said = f" {found.reason}" if found.reason else ""
        text = f"{state.outgoing.method} {place}: status {status}{said}"
        return BusinessError(f"HTTP_{status}", text, variables=fields_of(found.model_dump()))

    def _shows_who_we_are(self) -> bool:
        own = self._own
        return own is not None and any((own.user, own.token, own.api_key, own.client_id))

    def _answer(self, answer: BaseHTTPResponse, state: _State, content: Any) -> HttpAnswer:
        reason, url, headers = answer.reason or "", state.outgoing.address.shown, headers_of(answer.headers)
        if self._struck:
            struck: Any = self._struck.strike_in([content, headers, reason, url])
            content, headers, reason, url = struck
        return HttpAnswer(
            status=answer.status,
            reason=reason[:200] if reason.isprintable() else "",
            headers=headers,
            body=content,
            url=url,
            elapsed_ms=int((time.monotonic() - self._begun) * 1000),
            redirects=state.redirects,
            attempts=state.attempts,
        )

    def _done(self, answer: BaseHTTPResponse, state: _State) -> Any:
        """Return the content; what must not be done twice has been done, so no fault of ours may lead to that."""
        try:
            return self._content(answer, state)
        except (BlobsUnreachableError, PermanentError) as error:
            is_ours = isinstance(error, BlobsUnreachableError) or error.code != OUTCOME_UNKNOWN
            if not is_ours or (state.outgoing.is_repeatable and not state.outgoing.is_over):
                raise
            text = f"{state.outgoing.address.place} answered with status {answer.status}, and that could not be kept"
            raise outcome_unknown(f"{text} ({error})") from error

    def _content(self, answer: BaseHTTPResponse, state: _State) -> Any:
        form, place, bounds = self._request.response_as, state.outgoing.address.place, self._connection
        media_type = answer.headers.get("content-type", "")
        kind = kind_of(media_type) if form == "auto" else form
        largest = bounds.largest_download if form in {"auto", "blob"} else bounds.largest_response
        stream = pieces(answer, state.outgoing, state.exchange, largest=largest)
        if self._request.method == "HEAD" or form == "none":
            return _drained(stream)
        if form == "blob":
            return self._kept(stream, answer, state, media_type)
        if form == "auto":
            content, rest = parted(stream)
            if rest is not None:
                return self._kept(rest, answer, state, media_type)
            if not content:
                return None
            if kind == "blob":
                return self._kept(iter([content]), answer, state, media_type)
        else:
            content = whole(stream)
        return json_in(content, place) if kind == "json" else text_in(content, media_type, place)

    def _kept(self, stream: Iterator[bytes], answer: BaseHTTPResponse, state: _State, media_type: str) -> Any:
        name = name_in(headers_of(answer.headers), state.outgoing.address.path)
        return kept(stream, self._blobs, media_type, name)


def repeatable(request: HttpRequest, connection: Bounds) -> bool:
    """Whether a request may be sent twice: by what it is, or since the service refuses doubles."""
    has_key = isinstance(connection, HttpConnection) and connection.idempotency_header is not None
    return has_key or is_repeatable(request)


def _drained(stream: Iterator[bytes]) -> None:
    for _ in stream:
        pass


def _as_sent(value: str) -> str:
    """Return a header's value as http.client writes it: Latin-1; what is beyond that goes as UTF-8."""
    return value if value.isascii() else value.encode().decode("latin-1")
