"""How calls to the engine are allowed: one class for each way to log in, and the certificates beneath.

`Transport` takes one `Access` for all its threads. What contradicts itself in the settings, or names a file that is
not there, is refused before the first call.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import requests
from requests.auth import AuthBase, _basic_auth_str

from procos.domain.errors import SettingsError
from procos.engine.oauth import ClientCredentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from procos.settings import EngineSettings


class Basic(AuthBase):
    """User and password; in UTF-8, since that is what the engine decodes."""

    def __init__(self, user: str, password: str) -> None:
        self._header = _basic_auth_str(user.encode(), password.encode())

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Log in."""
        request.headers["Authorization"] = self._header
        return request


class Bearer(AuthBase):
    """A token that somebody else looks after."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Log in."""
        request.headers["Authorization"] = self._header
        return request


class OAuth(AuthBase):
    """The token of an OAuth2 client; one the engine refuses is replaced, and the request sent once more."""

    def __init__(self, credentials: ClientCredentials) -> None:
        self._credentials = credentials

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Log in."""
        token = self._credentials.token()
        request.headers["Authorization"] = f"Bearer {token}"

        def once_more(answer: requests.Response, **options: Any) -> requests.Response:
            return self._again(answer, token, options) if answer.status_code == requests.codes.unauthorized else answer

        request.register_hook("response", once_more)  # type: ignore[no-untyped-call]  # the library has no type for it
        return request

    def _again(self, refusal: requests.Response, token: str, options: dict[str, Any]) -> requests.Response:
        renewed = self._credentials.renewed(token)
        if renewed == token:
            return refusal
        _ = refusal.content  # read to its end, so that the connection can be used again
        refusal.close()
        request = refusal.request.copy()
        request.headers["Authorization"] = f"Bearer {renewed}"
        answer: requests.Response = refusal.connection.send(request, **options)
        answer.history.append(refusal)
        return answer


class Access:
    """How one engine is called; makes sessions that are let in."""

    def __init__(self, settings: EngineSettings) -> None:
        """Check the settings.

        Raises:
            SettingsError: they contradict each other, or a file is not there or not what it should be.
        """
        if problems := list(_problems(settings)):
            raise SettingsError(problems)
        self._settings = settings
        self._login = self._chosen(settings)

    def session(self) -> requests.Session:
        """Make a session; it is for one thread."""
        session = self._plain()
        session.headers["Accept"] = "application/json"
        session.auth = self._login
        return session

    def _chosen(self, settings: EngineSettings) -> AuthBase | None:
        if settings.oauth_token_url:
            return OAuth(ClientCredentials(settings, self._plain()))
        if settings.token:
            return Bearer(settings.token.get_secret_value())
        if settings.user and settings.password:
            return Basic(settings.user, settings.password.get_secret_value())
        return None

    def _plain(self) -> requests.Session:
        """Make a session with the certificates, which serve the token server too."""
        chosen, session = self._settings, requests.Session()
        session.trust_env = False
        if chosen.ca:
            session.verify = str(chosen.ca)
        if chosen.client_cert:
            session.cert = (str(chosen.client_cert), str(chosen.client_key or chosen.client_cert))
        return session


def is_let_in(settings: EngineSettings) -> bool:
    """Whether the engine is shown anything by which it could tell us from strangers."""
    return bool(settings.user or settings.token or settings.oauth_token_url or settings.client_cert)


def _problems(settings: EngineSettings) -> Iterator[str]:
    yield from _half_given(settings)
    yield from _too_many_ways(settings)
    yield from _unusable_files(settings)


def _half_given(settings: EngineSettings) -> Iterator[str]:
    """Name what is missing beside what is set."""
    login = {"PROCOS_ENGINE_USER": settings.user, "PROCOS_ENGINE_PASSWORD": settings.password}
    oauth = {
        "PROCOS_ENGINE_OAUTH_TOKEN_URL": settings.oauth_token_url,
        "PROCOS_ENGINE_OAUTH_CLIENT_ID": settings.oauth_client_id,
        "PROCOS_ENGINE_OAUTH_CLIENT_SECRET": settings.oauth_client_secret,
    }
    for together, optional in ((login, {}), (oauth, {"PROCOS_ENGINE_OAUTH_SCOPE": settings.oauth_scope})):
        given = [name for name, value in {**together, **optional}.items() if value]
        missing = [name for name, value in together.items() if not value]
        if given and missing:
            yield f"{' and '.join(missing)}: not set, though {' and '.join(given)} {_are(given)}"
    if settings.client_key and not settings.client_cert:
        yield "PROCOS_ENGINE_CLIENT_CERT: not set, though PROCOS_ENGINE_CLIENT_KEY is"


def _too_many_ways(settings: EngineSettings) -> Iterator[str]:
    ways = {
        "PROCOS_ENGINE_USER": settings.user,
        "PROCOS_ENGINE_TOKEN": settings.token,
        "PROCOS_ENGINE_OAUTH_TOKEN_URL": settings.oauth_token_url,
    }
    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        yield f"{' and '.join(given)}: expected one way to log in, found {len(given)}"
    addresses = [settings.url, settings.oauth_token_url or ""]
    if settings.client_cert and not any(address.startswith("https:") for address in addresses):
        yield "PROCOS_ENGINE_CLIENT_CERT: never shown, since PROCOS_ENGINE_URL is not an https:// address"


def _unusable_files(settings: EngineSettings) -> Iterator[str]:
    files = {
        "PROCOS_ENGINE_CLIENT_CERT": settings.client_cert,
        "PROCOS_ENGINE_CLIENT_KEY": settings.client_key,
        "PROCOS_ENGINE_CA": settings.ca,
    }
    missing = [f"{name}: there is no file {file}" for name, file in files.items() if file and not file.is_file()]
    yield from missing
    if not missing and settings.ca:
        yield from _unreadable_authorities(settings.ca)
    if not missing and settings.client_cert:
        yield from _unreadable_certificate(settings.client_cert, settings.client_key)


def _unreadable_authorities(file: Path) -> Iterator[str]:
    try:
        ssl.create_default_context(cafile=str(file))
    except (ssl.SSLError, OSError) as error:
        yield f"PROCOS_ENGINE_CA: {file} holds no certificates in PEM form ({_word(error)})"


def _unreadable_certificate(file: Path, key: Path | None) -> Iterator[str]:
    try:
        # An empty passphrase, because OpenSSL would ask for one on the terminal.
        ssl.create_default_context().load_cert_chain(file, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        names = "PROCOS_ENGINE_CLIENT_CERT" + (" and PROCOS_ENGINE_CLIENT_KEY" if key else "")
        yield f"{names}: expected a certificate and its key, in PEM form and without a passphrase ({_word(error)})"


def _word(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error).lower()


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
