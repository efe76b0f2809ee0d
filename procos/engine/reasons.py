"""Why no answer came, in a few words: the HTTP library's own repeat the address several times."""

from __future__ import annotations

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

CONNECT_TIMEOUT = 5.0


def why_unanswered(error: HTTPError) -> str:
    """Name the failure, and the setting that mends it where one may."""
    text = str(error)
    match error:
        case SSLError():
            return _tls_reason(text)
        case NameResolutionError():
            return "unknown host name"
        case NewConnectionError():
            return "connection refused" if "refused" in text else "no connection"
        case ConnectTimeoutError():
            return f"no connection within {CONNECT_TIMEOUT:.0f} s"
        case ReadTimeoutError():
            return "no answer in time"
        case ProtocolError():
            return "connection lost"
    return type(error).__name__


def _tls_reason(text: str) -> str:
    """Name the setting that mends a failed handshake; the service is there, so its callers may wait for it."""
    lowered = text.lower()
    if "certificate required" in lowered or "certificate_required" in lowered or "handshake failure" in lowered:
        return "it asks for a client certificate (PROCOS_ENGINE_CLIENT_CERT)"
    if "unknown ca" in lowered or "unknown_ca" in lowered:
        return "it does not trust our client certificate (PROCOS_ENGINE_CLIENT_CERT)"
    if "certificate_verify_failed" in lowered or "certificate verify failed" in lowered:
        return "its certificate is not trusted (PROCOS_ENGINE_CA names the authorities to trust)"
    if "eof occurred" in lowered:  # TLS 1.3 asks for the certificate after the handshake, and may just hang up
        return "it ended the TLS connection; it may ask for a client certificate (PROCOS_ENGINE_CLIENT_CERT)"
    return "the TLS handshake failed"
