"""How calls log in, and what of the settings is refused before the first call."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import SettingsError
from procos.engine.access import Access, is_let_in
from procos.engine.transport import Transport
from procos.settings import EngineSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.engine.conftest import Site

OAUTH = {
    "oauth_token_url": "http://idp/token",
    "oauth_client_id": "bridge",
    "oauth_client_secret": "hunter2",
}
USER, TOKEN = {"user": "u", "password": "p"}, {"token": "t"}


def settings(**fields: Any) -> EngineSettings:
    return EngineSettings.model_validate(fields)


def refusal(**fields: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Access(settings(**fields))
    return list(refused.value.problems)


class TestAccess:
    def test_needs_no_credentials(self, site: Site) -> None:
        Transport(settings(url=site.address)).get("/version")
        assert "Authorization" not in site.requests[0][2]

    def test_shows_a_password_of_any_letters_in_the_encoding_engines_read(self, site: Site) -> None:
        Transport(settings(url=site.address, user="jürgen", password="пароль")).get("/version")
        shown = site.requests[0][2]["Authorization"].removeprefix("Basic ")
        assert base64.b64decode(shown).decode() == "jürgen:пароль"

    def test_shows_a_token(self, site: Site) -> None:
        Transport(settings(url=site.address, **TOKEN)).get("/version")
        assert site.requests[0][2]["Authorization"] == "Bearer t"

    @pytest.mark.parametrize("fields", [{}, USER, TOKEN, OAUTH, {**OAUTH, "oauth_scope": "engine"}])
    def test_takes_one_way_to_log_in_or_none(self, fields: dict[str, str]) -> None:
        Access(settings(**fields))


class TestRefusedSettings:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            pytest.param(
                {"user": "u"}, "PROCOS_ENGINE_PASSWORD: not set, though PROCOS_ENGINE_USER is", id="user-alone"
            ),
            pytest.param(
                {"password": "p"}, "PROCOS_ENGINE_USER: not set, though PROCOS_ENGINE_PASSWORD is", id="password-alone"
            ),
            pytest.param(
                USER | TOKEN,
                "PROCOS_ENGINE_USER and PROCOS_ENGINE_TOKEN: expected one way to log in, found 2",
                id="user-and-token",
            ),
            pytest.param(
                USER | TOKEN | OAUTH,
                "PROCOS_ENGINE_USER and PROCOS_ENGINE_TOKEN and PROCOS_ENGINE_OAUTH_TOKEN_URL: "
                "expected one way to log in, found 3",
                id="every-way",
            ),
            pytest.param(
                {"oauth_token_url": "http://idp/token", "oauth_client_id": "b"},
                "PROCOS_ENGINE_OAUTH_CLIENT_SECRET: not set, though PROCOS_ENGINE_OAUTH_TOKEN_URL and "
                "PROCOS_ENGINE_OAUTH_CLIENT_ID are",
                id="oauth-without-secret",
            ),
            pytest.param(
                {"oauth_scope": "engine"},
                "PROCOS_ENGINE_OAUTH_TOKEN_URL and PROCOS_ENGINE_OAUTH_CLIENT_ID and "
                "PROCOS_ENGINE_OAUTH_CLIENT_SECRET: not set, though PROCOS_ENGINE_OAUTH_SCOPE is",
                id="scope-alone",
            ),
            pytest.param(
                {"ca": "/no/such.pem"}, "PROCOS_ENGINE_CA: there is no file /no/such.pem", id="authorities-missing"
            ),
            pytest.param(
                {"url": "https://e", "client_cert": "/no/such.pem"},
                "PROCOS_ENGINE_CLIENT_CERT: there is no file /no/such.pem",
                id="certificate-missing",
            ),
        ],
    )
    def test_are_told_in_one_line_that_names_them(self, fields: dict[str, str], said: str) -> None:
        assert refusal(**fields) == [said]

    def test_are_all_told_at_once(self) -> None:
        assert len(refusal(user="u", ca="/no/such.pem", client_key="/no/key.pem")) == 4

    def test_are_refused_before_a_transport_can_call(self) -> None:
        with pytest.raises(SettingsError):
            Transport(settings(user="u"))

    def test_include_a_certificate_that_would_never_be_shown(self, tmp_path: Path) -> None:
        file = tmp_path / "client.pem"
        file.write_text("no certificate")
        first, second = refusal(url="http://engine", client_cert=file)
        assert first == "PROCOS_ENGINE_CLIENT_CERT: never shown, since PROCOS_ENGINE_URL is not an https:// address"
        assert second.startswith("PROCOS_ENGINE_CLIENT_CERT: expected a certificate and its key")

    def test_include_files_that_hold_no_certificates(self, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        file.write_text("no certificate")
        (said,) = refusal(ca=file)
        assert said.startswith(f"PROCOS_ENGINE_CA: {file} holds no certificates in PEM form")

    def test_never_show_a_secret(self) -> None:
        assert "hunter2" not in str(refusal(**OAUTH, **TOKEN, user="u"))


class TestIsLetIn:
    def test_is_true_of_every_way(self) -> None:
        ways = [USER, TOKEN, OAUTH, {"client_cert": "c.pem"}]
        assert [is_let_in(settings(**fields)) for fields in ({}, *ways)] == [False, True, True, True, True]
