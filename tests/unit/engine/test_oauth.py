"""An OAuth2 client: when a token is fetched, kept, replaced, and what a token server may do wrong."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from procos.domain.errors import EngineDeniedError, EngineMisconfiguredError, EngineUnreachableError
from procos.engine.connections import Connections
from procos.engine.oauth import ClientCredentials
from procos.engine.transport import Transport
from procos.settings import EngineSettings

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Site


@dataclass
class Issuer:
    """What the token server does: a new token each time, and what went wrong if something shall."""

    life: object = 100
    only_in_body: bool = False
    fields: list[dict[str, list[str]]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def __call__(self, _path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        fields = parse_qs(body.decode())
        self.fields.append(fields)
        self.logins.append(headers.get("Authorization", ""))
        if self.only_in_body and "client_secret" not in fields:
            return 401, b'{"error": "invalid_client"}'
        answer: dict[str, object] = {"access_token": f"token-{len(self.fields)}", "token_type": "Bearer"}
        if self.life is not None:
            answer["expires_in"] = self.life
        return 200, json.dumps(answer).encode()


@dataclass
class Now:
    """A monotonic clock that moves when a test says so."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer(token_server: Site) -> Issuer:
    token_server.script = issuer = Issuer()
    return issuer


@pytest.fixture
def now() -> Now:
    return Now()


def settings(token_server: Site, **fields: Any) -> EngineSettings:
    return EngineSettings.model_validate(
        {
            "oauth_token_url": token_server.address,
            "oauth_client_id": "bridge:1",
            "oauth_client_secret": "sécret",
            **fields,
        }
    )


def connections(token_server: Site) -> Connections:
    return Connections(token_server.address, timeout=5.0)


@pytest.fixture
def client(token_server: Site, now: Now) -> ClientCredentials:
    return ClientCredentials(settings(token_server), connections(token_server), now=now)


class TestToken:
    def test_is_asked_for_as_the_standard_says(self, client: ClientCredentials, issuer: Issuer) -> None:
        assert client.token() == "token-1"
        assert issuer.fields == [{"grant_type": ["client_credentials"]}]
        login = base64.b64decode(issuer.logins[0].removeprefix("Basic ")).decode()
        assert login == "bridge%3A1:s%C3%A9cret"

    def test_is_asked_for_with_the_scope_that_is_set(self, token_server: Site, issuer: Issuer) -> None:
        ClientCredentials(settings(token_server, oauth_scope="engine all"), connections(token_server)).token()
        assert issuer.fields[0]["scope"] == ["engine all"]

    def test_is_asked_for_with_fields_where_the_server_wants_them(
        self, client: ClientCredentials, issuer: Issuer, now: Now
    ) -> None:
        issuer.only_in_body = True
        assert client.token() == "token-2"
        assert (issuer.fields[1]["client_id"], issuer.logins[1]) == (["bridge:1"], "")
        now.seconds += 90
        assert client.token() == "token-3"

    def test_is_kept_for_most_of_its_life_and_then_replaced_ahead_of_its_end(
        self, client: ClientCredentials, issuer: Issuer, now: Now
    ) -> None:
        tokens = []
        for seconds in (0, 79, 2):
            now.seconds += seconds
            tokens.append(client.token())
        assert tokens == ["token-1", "token-1", "token-2"]
        assert len(issuer.fields) == 2

    @pytest.mark.parametrize("life", [None, "soon", -1, "inf", "300"])
    def test_is_kept_for_five_minutes_where_its_life_is_not_told(
        self, client: ClientCredentials, issuer: Issuer, now: Now, life: object
    ) -> None:
        issuer.life = life
        client.token()
        now.seconds += 239
        assert client.token() == "token-1"
        now.seconds += 2
        assert client.token() == "token-2"

    def test_is_kept_while_it_is_valid_and_the_token_server_is_down(
        self, client: ClientCredentials, issuer: Issuer, token_server: Site, now: Now
    ) -> None:
        client.token()
        token_server.script, token_server.status = None, 503
        for _ in range(3):
            now.seconds += 6
            assert client.token() == "token-1"
        now.seconds += 85
        with pytest.raises(EngineUnreachableError, match="answers 503"):
            client.token()
        token_server.script = issuer
        now.seconds += 2
        assert client.token() == "token-2"

    def test_that_cannot_be_had_is_not_asked_for_by_every_thread_in_turn(
        self, client: ClientCredentials, token_server: Site, now: Now
    ) -> None:
        token_server.status = 503
        for _ in range(5):
            with pytest.raises(EngineUnreachableError):
                client.token()
        assert len(token_server.requests) == 1
        now.seconds += 1.1
        with pytest.raises(EngineUnreachableError):
            client.token()
        assert len(token_server.requests) == 2

    def test_is_fetched_once_for_all_threads(self, client: ClientCredentials, issuer: Issuer) -> None:
        tokens: list[str] = []
        together = threading.Barrier(8)

        def ask() -> None:
            together.wait(5)
            tokens.append(client.token())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert tokens == ["token-1"] * 8
        assert len(issuer.fields) == 1


class TestRenewed:
    def test_is_another_than_the_one_that_was_refused(
        self, client: ClientCredentials, issuer: Issuer, now: Now
    ) -> None:
        first = client.token()
        now.seconds += 10
        assert client.renewed(first) == "token-2"
        assert client.renewed(first) == "token-2"  # another thread came first
        assert len(issuer.fields) == 2

    def test_is_the_same_where_that_one_was_new(self, client: ClientCredentials, issuer: Issuer) -> None:
        assert client.renewed(client.token()) == "token-1"
        assert len(issuer.fields) == 1


class TestTokenServer:
    @pytest.mark.parametrize(
        ("status", "body", "error", "said"),
        [
            pytest.param(
                401, b'{"error":"invalid_client"}', EngineDeniedError, "PROCOS_ENGINE_OAUTH_CLIENT_ID", id="secret"
            ),
            pytest.param(400, b'{"error":"invalid_scope"}', EngineDeniedError, "invalid_scope", id="scope"),
            pytest.param(403, b"<html>", EngineDeniedError, "PROCOS_ENGINE_OAUTH_CLIENT_SECRET", id="forbidden"),
            pytest.param(404, b"<html>", EngineMisconfiguredError, "PROCOS_ENGINE_OAUTH_TOKEN_URL", id="wrong-path"),
            pytest.param(200, b"<html>", EngineMisconfiguredError, "OAuth2 token server", id="a-page"),
            pytest.param(200, b"[]", EngineMisconfiguredError, "OAuth2 token server", id="a-list"),
            pytest.param(200, b'{"access_token": 7}', EngineMisconfiguredError, "OAuth2 token server", id="a-number"),
            pytest.param(200, b'{"access_token": "a\\nb"}', EngineMisconfiguredError, "OAuth2", id="two-lines"),
            pytest.param(302, b"", EngineMisconfiguredError, "302", id="a-redirect"),
            pytest.param(500, b"", EngineUnreachableError, "answers 500", id="broken"),
            pytest.param(429, b"", EngineUnreachableError, "answers 429", id="overloaded"),
        ],
    )
    def test_that_gives_no_token_is_named_with_what_to_mend(
        self, client: ClientCredentials, token_server: Site, status: int, body: bytes, error: type[Exception], said: str
    ) -> None:
        token_server.status, token_server.body = status, body
        with pytest.raises(error, match=said) as raised:
            client.token()
        assert token_server.address in str(raised.value)
        assert "sécret" not in str(raised.value)

    def test_that_does_not_answer_is_named(self, token_server: Site) -> None:
        nobody = settings(token_server, oauth_token_url="http://me:hunter2@127.0.0.1:9/token?key=hunter2")
        with pytest.raises(
            EngineUnreachableError, match=r"http://127.0.0.1:9/token .*refused.*OAUTH_TOKEN_URL"
        ) as said:
            ClientCredentials(nobody, Connections("http://127.0.0.1:9/token", timeout=5.0)).token()
        assert "hunter2" not in str(said.value)
        assert "procos up" not in str(said.value)


class TestTransport:
    def test_shows_the_token_and_fetches_another_when_the_engine_refuses_it(
        self, site: Site, token_server: Site, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("procos.engine.oauth.NEW", 0.0)
        site.script = lambda _path, headers, body: (
            (200, body) if headers["Authorization"] == "Bearer token-2" else (401, b"")
        )
        transport = Transport(settings(token_server, url=site.address))
        assert transport.post("/external-task", {"workerId": "me"}) == {"workerId": "me"}
        assert transport.post("/external-task", {"workerId": "me"}) == {"workerId": "me"}
        assert len(site.requests) == 3
        assert len(issuer.fields) == 2

    def test_does_so_for_content_too(
        self, site: Site, token_server: Site, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("procos.engine.oauth.NEW", 0.0)
        site.script = lambda _path, headers, _body: (
            (200, b"content") if headers["Authorization"] == "Bearer token-2" else (401, b"")
        )
        with Transport(settings(token_server, url=site.address)).download("/data") as pieces:
            assert b"".join(pieces) == b"content"
        assert len(issuer.fields) == 2

    def test_says_that_the_engine_does_not_take_new_tokens(
        self, site: Site, token_server: Site, issuer: Issuer
    ) -> None:
        site.status = 401
        with pytest.raises(EngineDeniedError, match="PROCOS_ENGINE_OAUTH"):
            Transport(settings(token_server, url=site.address)).get("/version")
        assert (len(site.requests), len(issuer.fields)) == (1, 1)

    def test_counts_a_token_server_that_is_down_as_no_answer(self, site: Site, token_server: Site) -> None:
        token_server.status = 503
        with pytest.raises(EngineUnreachableError, match="token server"):
            Transport(settings(token_server, url=site.address)).get("/version")
        assert site.requests == []

    def test_shares_one_token_among_the_sessions_of_its_threads(
        self, site: Site, token_server: Site, issuer: Issuer
    ) -> None:
        transport = Transport(settings(token_server, url=site.address))
        threads = [threading.Thread(target=transport.get, args=("/version",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert {headers["Authorization"] for _, _, headers, _ in site.requests} == {"Bearer token-1"}
        assert (len(site.requests), len(issuer.fields)) == (4, 1)
