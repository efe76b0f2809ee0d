"""Encrypted or not at all, and signed in once: against real TLS, with certificates of our own."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.smtp import AuthResult
from pytest_httpserver import HTTPServer  # noqa: TC002  # pytest reads it

from procos.domain.errors import PermanentError, RateLimited, TransientError
from tasks.adapters.calling import service
from tasks.adapters.email import tokens
from tasks.adapters.email.connection import EmailConnection
from tasks.adapters.email.tokens import access_token
from tests.mail_servers import PASSWORD, TOKEN, USER, mail_server, scripted_server
from tests.raw_service import HEAD, raw_service

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from tasks.adapters.email.mail import Sent
    from tasks.context import TaskContext
    from tests.contract.certificates import Authority

SIGNING_IN = {"user": USER, "password": PASSWORD}


class TestEncryption:
    @pytest.mark.parametrize("security", ["starttls", "tls"])
    def test_is_by_either_way_and_signs_in(
        self, send: Callable[..., Sent], authority: Authority, server_tls: ssl.SSLContext, security: str
    ) -> None:
        options: dict[str, Any] = {security: server_tls}
        if security == "starttls":
            options["require_starttls"] = True
        else:
            options["auth_require_tls"] = False  # aiosmtpd looks for STARTTLS only
        with mail_server(**options) as box:
            sent = send(box.port, security=security, ca_file=authority.certificate, **SIGNING_IN)
        assert sent.accepted == ["ann@example.org"]
        assert box.mechanisms == ["PLAIN"]

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    def test_needs_a_certificate_that_is_trusted(
        self, send: Callable[..., Sent], server_tls: ssl.SSLContext, security: str
    ) -> None:
        options: dict[str, Any] = {security: server_tls}
        with mail_server(**options) as box, pytest.raises(PermanentError, match="is not trusted") as raised:
            send(box.port, security=security, **SIGNING_IN)
        assert raised.value.code == "TLS_FAILED"
        assert box.mechanisms == []

    def test_needs_a_certificate_for_the_host(
        self, send: Callable[..., Sent], authority: Authority, server_tls: ssl.SSLContext
    ) -> None:
        with mail_server(starttls=server_tls) as box, pytest.raises(PermanentError, match=r"not trusted: .*localhost"):
            send(box.port, host="localhost", security="starttls", ca_file=authority.certificate, **SIGNING_IN)

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    def test_needs_a_file_of_authorities_that_is_there(self, send: Callable[..., Sent], security: str) -> None:
        with scripted_server(offers=("STARTTLS",)) as server, pytest.raises(PermanentError) as raised:
            send(server.port, security=security, ca_file="/nowhere.pem", **SIGNING_IN)
        assert raised.value.code == "CONNECTION_INVALID"

    def test_that_somebody_has_taken_out_is_not_done_without(self, send: Callable[..., Sent]) -> None:
        offers = ("AUTH PLAIN LOGIN",)
        with (
            scripted_server(offers=offers) as server,
            pytest.raises(PermanentError, match="offers no STARTTLS") as raised,
        ):
            send(server.port, security="starttls", **SIGNING_IN)
        assert raised.value.code == "TLS_FAILED"
        assert [command.split()[0].upper() for command in server.commands] == ["EHLO"]

    def test_forgets_what_was_said_in_clear(self, send: Callable[..., Sent]) -> None:
        answer = "220 go on\r\n250-injected\r\n250 AUTH PLAIN"
        plan: dict[str, Any] = {"offers": ("STARTTLS",), "replies": {"STARTTLS": answer}}
        with scripted_server(**plan) as server, pytest.raises(TransientError):
            send(server.port, security="starttls", connect_timeout=0.5, **SIGNING_IN)
        assert not any(command.startswith("AUTH") for command in server.commands)

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"host": "mail.example.org", **SIGNING_IN}, "a password or token is never sent in clear"),
            ({"user": USER}, "a user needs a password"),
            ({"password": PASSWORD}, "a password or token needs a user"),
            ({**SIGNING_IN, "access_token": TOKEN}, "give one of password, access_token and token_url"),
            ({"user": USER, "token_url": "https://id.example.org/token"}, "a token_url needs client_id"),
            (
                {"user": USER, "token_url": "http://id.example.org/", "client_id": "c", "client_secret": "secret"},
                "https://",
            ),
            ({"sender": "nobody"}, "sender: is no address"),
            ({"host": "mail.example.org\r\nRCPT TO:<eve@example.org>"}, "host"),
            ({"helo_name": "a b"}, "helo_name"),
            ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ],
    )
    def test_and_signing_in_are_checked_before_anything_is_spoken(
        self, send: Callable[..., Sent], fields: dict[str, Any], text: str
    ) -> None:
        with pytest.raises(PermanentError, match=text) as raised:
            send(9, **fields)
        assert raised.value.code == "CONNECTION_INVALID"
        assert PASSWORD not in str(raised.value)


class TestPassword:
    @pytest.mark.parametrize("excluded", [[], ["PLAIN"]])
    def test_is_told_by_the_way_the_server_knows(self, send: Callable[..., Sent], excluded: list[str]) -> None:
        with mail_server(auth_require_tls=False, auth_exclude_mechanism=excluded) as box:
            send(box.port, **SIGNING_IN)
        assert box.mechanisms == ["LOGIN" if excluded else "PLAIN"]

    def test_that_is_wrong_is_tried_once_and_needs_an_operator(self, send: Callable[..., Sent]) -> None:
        wrong = {**SIGNING_IN, "password": "wrong-and-secret"}
        with mail_server(auth_require_tls=False) as box, pytest.raises(PermanentError) as raised:
            send(box.port, **wrong)
        assert raised.value.code == "AUTH_FAILED"
        assert r"535 5.7.8 (user or password is wrong)" in str(raised.value)
        assert "wrong-and-secret" not in str(raised.value)
        assert box.mechanisms == ["PLAIN"]

    def test_that_a_server_wants_and_nobody_gave_needs_an_operator(self, send: Callable[..., Sent]) -> None:
        with (
            scripted_server(replies={"MAIL": "530 5.7.0 who are you?"}) as server,
            pytest.raises(PermanentError) as raised,
        ):
            send(server.port)
        assert raised.value.code == "AUTH_FAILED"


class TestAccessToken:
    def test_signs_in(self, send: Callable[..., Sent]) -> None:
        with mail_server(auth_require_tls=False) as box:
            send(box.port, user=USER, access_token=TOKEN)
        assert box.mechanisms == ["XOAUTH2"]

    def test_that_is_refused_needs_an_operator(self, send: Callable[..., Sent]) -> None:
        with mail_server(auth_require_tls=False) as box, pytest.raises(PermanentError) as raised:
            send(box.port, user=USER, access_token="stale-token")
        assert raised.value.code == "AUTH_FAILED"
        assert "stale-token" not in str(raised.value)

    def test_is_had_from_who_issues_it_kept_and_had_anew(
        self, send: Callable[..., Sent], httpserver: HTTPServer
    ) -> None:
        answers = iter([TOKEN, "second-token"])
        httpserver.expect_request("/token", method="POST").respond_with_handler(lambda _: _token(next(answers)))
        client = {"user": USER, "client_id": "procos", "client_secret": "client-secret", "scope": "smtp"}
        client["token_url"] = httpserver.url_for("/token")
        with mail_server(auth_require_tls=False) as box:
            send(box.port, **client)
            send(box.port, **client)
            assert len(httpserver.log) == 1
            box.tokens = {"second-token"}
            with pytest.raises(TransientError, match="refuses an access token that was kept"):
                send(box.port, **client)
            send(box.port, **client)
        assert len(httpserver.log) == 2
        form = httpserver.log[0][0].form
        assert form.to_dict() == {
            "grant_type": "client_credentials", "client_id": "procos",
            "client_secret": "client-secret", "scope": "smtp",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [
            (400, '{"error": "invalid_client", "echo": "client-secret"}', PermanentError),
            (302, "", PermanentError),
            (200, "no json", PermanentError),
            (200, '{"access_token": "a\\r\\nb"}', PermanentError),
            (503, "", TransientError),
            (429, "", RateLimited),
        ],
    )
    def test_that_is_not_issued_says_why(
        self, send: Callable[..., Sent], httpserver: HTTPServer, status: int, body: str, error: type[Exception]
    ) -> None:
        httpserver.expect_request("/other").respond_with_data(body, status=status)
        client = {"user": USER, "client_id": "procos", "refresh_token": "refresh-me"}
        with mail_server(auth_require_tls=False) as box, pytest.raises(error) as raised:
            send(box.port, **client, token_url=httpserver.url_for("/other"))
        assert "/other" in str(raised.value)
        assert "client-secret" not in str(raised.value)

    @pytest.mark.parametrize(("said", "seconds"), [(3600, 3540), (7200, 3540), (900, 840), (0, 240), ("1", 240)])
    def test_is_kept_until_a_minute_before_its_end(
        self, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, said: object, seconds: float
    ) -> None:
        httpserver.expect_request("/token").respond_with_json({"access_token": TOKEN, "expires_in": said})
        fields = {"type": "email", "host": "mail.test", "sender": "shop@example.org", "user": USER}
        issuer = {"token_url": httpserver.url_for("/token"), "client_id": str(said), "client_secret": "client-secret"}
        connection = EmailConnection.model_validate({**fields, **issuer})
        now = time.monotonic()
        found = []
        for moment in (now, now + seconds - 1, now + seconds):
            monkeypatch.setattr(tokens, "time", SimpleNamespace(monotonic=lambda at=moment: at))
            found.append(access_token(connection, deadline=moment + 4.0).was_kept)
        assert found == [False, True, False]

    def test_is_put_off_for_as_long_as_who_issues_it_says(
        self, send: Callable[..., Sent], httpserver: HTTPServer
    ) -> None:
        httpserver.expect_request("/busy").respond_with_data("", status=429, headers={"Retry-After": "90"})
        client = {"user": USER, "client_id": "procos", "refresh_token": "refresh-me"}
        with mail_server(auth_require_tls=False) as box, pytest.raises(RateLimited) as raised:
            send(box.port, **client, token_url=httpserver.url_for("/busy"))
        assert raised.value.retry_in == timedelta(seconds=90)

    @pytest.mark.parametrize(
        ("says", "drips"),
        [
            pytest.param(HEAD + b"Content-Length: 9000\r\n\r\n", b" ", id="a-byte-at-a-time"),
            pytest.param(HEAD + b"Content-Length: 10\r\n\r\n{}", b"", id="cut-short"),
        ],
    )
    def test_that_does_not_come_whole_is_another_try(
        self, send: Callable[..., Sent], says: bytes, drips: bytes
    ) -> None:
        client = {"user": USER, "client_id": "procos", "refresh_token": "refresh-me", "seconds": 3.0 + 0.5}
        with raw_service() as issuer, mail_server(auth_require_tls=False) as box:
            issuer.says, issuer.drips = says, drips
            with pytest.raises(TransientError, match="which issues access tokens"):
                send(box.port, **client, token_url=issuer.url)


def _token(token: str) -> Any:
    from werkzeug import Response

    return Response(json.dumps({"access_token": token, "expires_in": 3599}), mimetype="application/json")


class TestHealth:
    def test_is_a_look_that_sends_nothing(self, step: Callable[..., TaskContext]) -> None:
        with mail_server(auth_require_tls=False) as box:
            health = service("email", step(box.port, **SIGNING_IN)).health_check()
        assert (health.is_well, health.detail) == (True, f"127.0.0.1:{box.port} in clear, signed in as {USER}")
        assert box.envelopes == []

    def test_says_what_is_wrong(self, step: Callable[..., TaskContext]) -> None:
        with mail_server(
            auth_require_tls=False, authenticator=lambda *_: AuthResult(success=False, handled=False)
        ) as box:
            health = service("email", step(box.port, **SIGNING_IN)).health_check()
        assert not health.is_well
        assert "refuses to sign us in" in health.detail
        assert PASSWORD not in health.detail

    def test_speaks_every_command_of_a_session_but_those_that_send(self, step: Callable[..., TaskContext]) -> None:
        with scripted_server() as server:
            assert service("email", step(server.port)).health_check().is_well
        assert [command.split()[0].upper() for command in server.commands] == ["EHLO", "NOOP", "QUIT"]
