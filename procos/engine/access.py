"""How calls to the engine are allowed: what each shows, and the certificates beneath.

`Transport` takes one `Access` for all its threads. What contradicts itself in the settings, or names a file that is
not there, is refused before the first call.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from procos.domain.errors import SettingsError
from procos.engine.connections import Connections, basic
from procos.engine.handles import Certificates
from procos.engine.oauth import ClientCredentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from procos.settings import EngineSettings


class Login(Protocol):
    """What lets us in: the value of the header Authorization."""

    def shown(self) -> str:
        """Return what the next request shows."""

    def renewed(self, refused: str) -> str:
        """Return what to show instead of what the engine has just refused; the same where there is nothing else."""


class Fixed:
    """A user's password, or a token that somebody else looks after."""

    def __init__(self, value: str) -> None:
        self._value = value

    def shown(self) -> str:
        """Return it."""
        return self._value

    def renewed(self, refused: str) -> str:
        """Return the same: there is no other."""
        return refused


class Renewable:
    """The token of an OAuth2 client; one the engine refuses is replaced."""

    def __init__(self, credentials: ClientCredentials) -> None:
        self._credentials = credentials

    def shown(self) -> str:
        """Return the token that is valid now."""
        return BEARER + self._credentials.token()

    def renewed(self, refused: str) -> str:
        """Return another one, unless the refused one is new."""
        return BEARER + self._credentials.renewed(refused.removeprefix(BEARER))


BEARER = "Bearer "


class Access:
    """How one engine is called; may be shared by threads."""

    def __init__(self, settings: EngineSettings) -> None:
        """Check the settings.

        Raises:
            SettingsError: they contradict each other, or a file is not there or not what it should be.
        """
        if problems := list(_problems(settings)):
            raise SettingsError(problems)
        self._settings = settings
        self._certificates = _read(settings)
        self._login = self._chosen(settings)

    def connections(self) -> Connections:
        """Return connections to the engine."""
        return self._connections(self._settings.url)

    def shown(self) -> str | None:
        """Return what a request shows in the header Authorization, None where nothing is asked for."""
        return None if self._login is None else self._login.shown()

    def renewed(self, refused: str) -> str:
        """Return what to show instead of what the engine has just refused; the same where there is nothing else."""
        return refused if self._login is None else self._login.renewed(refused)

    def _chosen(self, settings: EngineSettings) -> Login | None:
        if settings.oauth_token_url:
            return Renewable(ClientCredentials(settings, self._connections(settings.oauth_token_url)))
        if settings.token:
            return Fixed(BEARER + settings.token.get_secret_value())
        if settings.user and settings.password:
            return Fixed(basic(settings.user, settings.password.get_secret_value()))
        return None

    def _connections(self, address: str) -> Connections:
        """Return connections with the certificates, which serve the token server too."""
        is_secured = urlsplit(address).scheme == "https"
        chosen = self._certificates if is_secured else None
        return Connections(address, timeout=self._settings.timeout, certificates=chosen)


def _read(settings: EngineSettings) -> Certificates:
    """Read the files once: one that is replaced later, half of a pair perhaps, changes nothing before a restart."""
    return Certificates(
        authorities=settings.ca.read_bytes() if settings.ca else None,
        certificate=settings.client_cert.read_bytes() if settings.client_cert else None,
        key=settings.client_key.read_bytes() if settings.client_key else None,
    )


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
