"""OAuth2 client credentials: one token for a process, one more when it has run out, and none in what is seen."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import certifi
import pytest
from werkzeug import Request, Response

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TransientError
from tasks.adapters.http.credentials import TOKENS
from tests.raw_http import RawServer, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_httpserver import HTTPServer

    from tasks.adapters.http.adapter import Http

    Ask = Callable[..., Any]


class TokenServer:
    """Gives a new token each time; the service beside it takes the newest."""

    def __init__(self, server: HTTPServer) -> None:
        self.given = 0
        self.refused = 0
        self.life: object = 3600
        self.questions: list[Request] = []
        server.expect_request("/token").respond_with_handler(self.token)
        server.expect_request("/api/x").respond_with_handler(self.service)
        self.fields = {
            "client_id": "procos", "client_secret": "geh:eim", "token_url": server.url_for("/token"), "scope": "a b",
        }  # fmt: skip

    def token(self, request: Request) -> Response:
        self.questions.append(request)
        self.given += 1
        found = {"access_token": f"token-{self.given}", "token_type": "Bearer", "expires_in": self.life}
        return Response(json.dumps(found), content_type="application/json")

    def service(self, request: Request) -> Response:
        if self.refused:
            self.refused -= 1
            return Response(status=401)
        return Response(json.dumps({"seen": request.headers["Authorization"]}), content_type="application/json")


@pytest.fixture
def tokens(httpserver: HTTPServer) -> Iterator[TokenServer]:
    TOKENS.forget()
    yield TokenServer(httpserver)
    TOKENS.forget()


class TestToken:
    def test_is_asked_for_once(self, ask: Ask, tokens: TokenServer) -> None:
        for _ in range(3):
            ask(tokens.fields, path="x", method="POST")
        (question,) = tokens.questions
        assert question.form.to_dict() == {"grant_type": "client_credentials", "scope": "a b"}
        assert question.authorization is not None
        assert (question.authorization.username, question.authorization.password) == ("procos", "geh%3Aeim")

    def test_is_asked_for_in_the_body_where_the_server_wants_that(self, ask: Ask, tokens: TokenServer) -> None:
        ask({**tokens.fields, "token_auth": "body", "scope": "", "audience": "crm"}, path="x")
        assert tokens.questions[0].form.to_dict() == {
            "grant_type": "client_credentials", "client_id": "procos", "client_secret": "geh:eim", "audience": "crm",
        }  # fmt: skip

    def test_that_is_refused_is_renewed_once(self, ask: Ask, tokens: TokenServer) -> None:
        ask(tokens.fields, path="x")
        tokens.refused = 1
        assert (ask(tokens.fields, path="x", method="POST")["attempts"], tokens.given) == (2, 2)

    def test_that_is_refused_again_is_for_the_operator(self, ask: Ask, tokens: TokenServer) -> None:
        tokens.refused = 9
        with pytest.raises(PermanentError) as raised:
            ask(tokens.fields, path="x")
        assert (raised.value.code, tokens.given, tokens.refused) == ("AUTH_FAILED", 2, 7)

    @pytest.mark.parametrize(
        "other",
        [
            {"scope": "c"},
            {"client_id": "other"},
            {"client_secret": "another"},
            {"token_auth": "body"},
            {"ca_file": certifi.where()},
        ],
    )
    def test_is_never_that_of_another(self, ask: Ask, tokens: TokenServer, other: dict[str, str]) -> None:
        ask(tokens.fields, path="x")
        ask({**tokens.fields, **other}, path="x")
        assert tokens.given == 2

    def test_is_struck_out_of_the_answer(self, ask: Ask, tokens: TokenServer) -> None:
        assert ask(tokens.fields, path="x")["body"] == {"seen": "Bearer ***"}

    def test_is_struck_out_wherever_the_service_puts_it(
        self, ask: Ask, tokens: TokenServer, httpserver: HTTPServer
    ) -> None:
        def echo(request: Request) -> Response:
            said = request.headers["Authorization"]
            return Response("", status=f"404 no {said}", headers={"X-Seen": said})

        def lead_on(request: Request) -> Response:
            return Response(status=302, headers={"Location": f"/api/{request.headers['Authorization'][7:]}"})

        httpserver.expect_request("/api/lost").respond_with_handler(lead_on)
        httpserver.expect_request("/api/token-1").respond_with_handler(echo)
        with pytest.raises(BusinessError, match=r"status 404 no Bearer \*\*\*$") as raised:
            ask(tokens.fields, path="lost")
        assert "token-1" not in str(raised.value.variables)

    @pytest.mark.parametrize("life", ["soon", None, [], float("nan"), -5, 10**30])
    def test_lives_for_a_while_whatever_the_server_says(self, ask: Ask, tokens: TokenServer, life: object) -> None:
        tokens.life = life
        ask(tokens.fields, path="x")
        assert tokens.given == 1


class Hanging:
    """A token server that answers when it is let go, and a step that waits for it."""

    def __init__(self, connected: Callable[..., Http]) -> None:
        self._asked, self._let_go = threading.Event(), threading.Event()
        self.server = RawServer(self._script)
        self.step = threading.Thread(target=self._run)
        self._connected = connected
        self.found: Any = None

    def http(self) -> Http:
        fields = {"client_id": "procos", "client_secret": "geheim", "token_url": f"{self.server.url}/token"}
        return self._connected(**fields)

    def _script(self, _: bytes) -> Iterator[bytes]:
        self._asked.set()
        self._let_go.wait(10)
        yield answer(b'{"access_token": "late-token"}')

    def _run(self) -> None:
        with suppress(TransientError):
            request = {"path": "x"}
            self.found = self.http().call_service(
                "request", request, deadline=time.monotonic() + 4, idempotency_key="k"
            )

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.step.start()
        assert self._asked.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        self.step.join(10)
        self.server.__exit__()


class TestTokenServerThatHangs:
    def test_makes_no_step_wait_that_asks_another(
        self, ask: Ask, tokens: TokenServer, connected: Callable[..., Http]
    ) -> None:
        with Hanging(connected) as hanging:
            ask(tokens.fields, path="x")
        assert tokens.given == 1
        assert hanging.found["body"] == {"seen": "Bearer ***"}

    def test_makes_no_step_wait_for_longer_than_that_has(
        self, tokens: TokenServer, connected: Callable[..., Http]
    ) -> None:
        with Hanging(connected) as hanging, pytest.raises(TransientError, match="leaves another step waiting"):
            hanging.http().call_service("request", {"path": "x"}, deadline=time.monotonic() + 0.01, idempotency_key="k")
        assert tokens.given == 0


class TestTokenServer:
    @pytest.mark.parametrize(
        ("status", "body", "kind", "text"),
        [
            (400, '{"error": "invalid_client"}', PermanentError, r"refuses us with status 400 \(invalid_client\)"),
            (401, '{"error": "geheim: secret"}', PermanentError, "refuses us with status 401$"),
            (404, "<html>", PermanentError, "refuses us with status 404$"),
            (500, "", TransientError, "answered with status 500"),
            (429, "", RateLimited, "asks for patience"),
            (200, "no json", TransientError, "answered without a token"),
            (200, '{"access_token": "a\\r\\nX-Injected: 1"}', TransientError, "answered without a token"),
            (200, '{"access_token": 5}', TransientError, "answered without a token"),
            (200, "[" * 10_000, TransientError, "answered without a token"),
            (200, " " * 100_000, TransientError, "answered without a token"),
        ],
    )
    def test_is_understood(
        self, ask: Ask, httpserver: HTTPServer, status: int, body: str, kind: type[Exception], text: str
    ) -> None:
        TOKENS.forget()
        httpserver.expect_request("/token").respond_with_data(body, status=status, content_type="application/json")
        fields = {"client_id": "procos", "client_secret": "geheim", "token_url": httpserver.url_for("/token")}
        with pytest.raises(kind, match=text):
            ask(fields, path="x", method="POST")
        assert len(httpserver.log) == 1
