"""Why no answer came, in a few words: libcurl's own repeat the address, and tell nothing of our settings."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pycurl

if TYPE_CHECKING:
    from procos.engine.handles import Failure

CONNECT_TIMEOUT = 5.0
"""Seconds in which a connection must stand, with the look-up of its name and the TLS handshake."""

LOST = {
    pycurl.E_ABORTED_BY_CALLBACK,  # it would have been sent twice
    pycurl.E_GOT_NOTHING,
    pycurl.E_FTP_WEIRD_SERVER_REPLY,  # libcurl's old name of CURLE_WEIRD_SERVER_REPLY: what came is not HTTP
    pycurl.E_PARTIAL_FILE,
    pycurl.E_RECV_ERROR,
    pycurl.E_SEND_ERROR,
    pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9, which is any text
}
HUNG_UP = {pycurl.E_GOT_NOTHING, pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR}
UNTRUSTED = {pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_ISSUER_ERROR}
TLS = {
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CIPHER,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_SHUTDOWN_FAILED,
    pycurl.E_USE_SSL_FAILED,
}


def why_unanswered(failure: Failure) -> str:
    """Name the failure, and the setting that mends it where one may. Source: libcurl-errors(3)."""
    if reason := _tls_reason(failure):
        return reason
    match failure.code:
        case pycurl.E_COULDNT_RESOLVE_HOST:
            return "unknown host name"
        case pycurl.E_COULDNT_CONNECT:
            return "connection refused" if failure.system_error == errno.ECONNREFUSED else "no connection"
        case pycurl.E_OPERATION_TIMEDOUT:
            return "no answer in time" if failure.was_sent else f"no connection within {failure.connect_limit:g} s"
        case pycurl.E_FILESIZE_EXCEEDED:
            return "its answer is too large"
        case pycurl.E_OUT_OF_MEMORY:  # of memory, or of open files
            return "no connection"
        case code if code in LOST:
            return "connection lost"
    return f"libcurl's error {failure.code}"


def _tls_reason(failure: Failure) -> str | None:
    """Name the setting that mends a failed handshake; the service is there, so its callers may wait for it."""
    text = failure.text.lower()
    if "certificate required" in text or "handshake failure" in text:
        return "it asks for a client certificate (PROCOS_ENGINE_CLIENT_CERT)"
    if "unknown ca" in text:
        return "it does not trust our client certificate (PROCOS_ENGINE_CLIENT_CERT)"
    if failure.code in UNTRUSTED:
        return "its certificate is not trusted (PROCOS_ENGINE_CA names the authorities to trust)"
    # TLS 1.3 asks for the certificate after the handshake, and hangs up before the reason can be read.
    if "unexpected eof" in text or "ssl_error_syscall" in text or (failure.is_first and failure.code in HUNG_UP):
        return "it ended the TLS connection; it may ask for a client certificate (PROCOS_ENGINE_CLIENT_CERT)"
    return "the TLS handshake failed" if failure.code in TLS else None
