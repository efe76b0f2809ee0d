"""What a hostile or broken server, and a hostile model, can do to http_request: end it with an error that says what."""

from __future__ import annotations

import gzip
import itertools
import json
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procos.domain.errors import BusinessError, PermanentError, TaskError, TransientError
from tasks.adapters.http.adapter import Http
from tasks.adapters.http.connection import HttpConnection
from tests.raw_http import RawServer, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

JSON_TYPE, TEXT_TYPE = "Content-Type: application/json", "Content-Type: text/plain"
HEAD = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b"0" * 30_000_000)


def packed(body: bytes, coding: str = "gzip") -> bytes:
    return answer(body, f"Content-Encoding: {coding}", TEXT_TYPE)


def deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


TOO_LARGE: dict[str, bytes] = {
    "more-than-allowed": answer(b"x" * 300_000, TEXT_TYPE),
    "more-than-allowed-json": answer(json.dumps("x" * 300_000).encode()),
    "length-beyond-everything": HEAD + b"Content-Length: 99999999999999\r\n\r\n" + b"x" * 300_000,
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n" + b"10000\r\n" * 1 + b"x" * 65536
    + b"\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 4 + b"0\r\n\r\n",
    "until-close": HEAD + b"Content-Type: text/plain\r\n\r\n" + b"x" * 300_000,
    "gzip-bomb": packed(BOMB),
    "gzip-bomb-called-x-gzip": packed(BOMB, "x-gzip"),
    "deflate-bomb": packed(zlib.compress(b"0" * 30_000_000), "deflate"),
    "deflate-bomb-without-frame": packed(deflated(b"0" * 30_000_000), "deflate"),
    "gzip-of-many-members": packed(gzip.compress(b"0" * 100_000) * 10),
    "json-of-many-items": answer(b"[" + b"[]," * 1_000_000 + b"[]]"),
}  # fmt: skip
INVALID: dict[str, bytes] = {
    "no-json": answer(b"<html>"),
    "half-of-json": answer(b'{"a": [1, 2'),
    "json-nan": answer(b'{"a": NaN}'),
    "json-infinity": answer(b"[-Infinity]"),
    "json-number-beyond-floats": answer(b"[1e999]"),
    "json-number-of-5000-digits": answer(b"[" + b"9" * 5000 + b"]"),
    "json-of-deep-lists": answer(b"[" * 100_000 + b"]" * 100_000),
    "json-of-deep-objects": answer(b'{"a":' * 500 + b"1" + b"}" * 500),
    "json-half-a-surrogate-pair": answer(b'"\\ud800"'),
    "json-half-a-pair-as-key": answer(b'{"\\udfff": 1}'),
    "json-with-null-character": answer(b'{"a": "\\u0000"}'),
    "json-of-bad-utf-8": answer(b'"\xff\xfe"'),
    "json-two-values": answer(b"1 2"),
    "text-of-bad-utf-8": answer(b"\xff\xfe\xfa", TEXT_TYPE),
    "text-in-no-encoding": answer(b"abc", "Content-Type: text/plain; charset=klingon"),
    "text-in-a-codec-that-is-none": answer(b"abc", "Content-Type: text/plain; charset=rot13"),
    "text-in-a-codec-for-bytes": answer(b"abc", "Content-Type: text/plain; charset=zip"),
    "text-with-null-character": answer(b"a\0b", TEXT_TYPE),
    "gzip-that-is-none": packed(b"this is no gzip"),
    "gzip-cut-off": packed(gzip.compress(b"0123456789" * 1000)[:-20]),
    "gzip-with-rest": packed(gzip.compress(b"abc") + b"rest"),
    "gzip-wrong-checksum": packed(gzip.compress(b"abc")[:-8] + b"\0" * 8),
    "deflate-that-is-none": packed(b"\xff\xff\xff\xff", "deflate"),
    "brotli-nobody-asked-for": packed(b"abc", "br"),
    "zstandard-nobody-asked-for": packed(b"abc", "zstd"),
    "packed-twice": packed(gzip.compress(gzip.compress(b"abc")), "gzip, gzip"),
    "packed-with-line-break": packed(b"abc", "gzip\t\x0b"),
}
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no-http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no-status": b"HTTP/1.1\r\n\r\n",
    "status-of-letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "status-negative": b"HTTP/1.1 -200 OK\r\n\r\n",
    "status-of-four-digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "version-of-the-future": b"HTTP/9.9 200 OK\r\n\r\n",
    "status-line-without-end": b"HTTP/1.1 200 " + b"O" * 70_000,
    "header-without-end": HEAD + b"X-Long: " + b"a" * 70_000,
    "hundreds-of-headers": HEAD + b"X: 1\r\n" * 500 + b"\r\n",
    "body-cut-off": HEAD + b"Content-Type: text/plain\r\nContent-Length: 100\r\n\r\nabc",
    "chunk-cut-off": HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\nabc",
    "chunk-of-no-size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "chunk-of-negative-size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n",
    "lengths-that-differ": HEAD + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
}


def endless(piece: bytes) -> Callable[[bytes], Iterable[bytes]]:
    return lambda _: itertools.repeat(piece)


ENDLESS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    "interim-answers": endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "interim-answers-with-headers": endless(b"HTTP/1.1 100 Continue\r\nX: " + b"a" * 5000 + b"\r\n\r\n"),
    "large-headers": lambda _: itertools.chain([HEAD], itertools.repeat(b"X: " + b"a" * 60_000 + b"\r\n")),
}
REFUSED: dict[str, dict[str, Any]] = {
    "header-value-with-line-break": {"headers": {"X-A": "1\r\nX-B: 2"}},
    "header-value-with-newline": {"headers": {"X-A": "1\n"}},
    "header-value-with-null": {"headers": {"X-A": "\0"}},
    "header-name-with-line-break": {"headers": {"X-A: 1\r\nX-B": "2"}},
    "header-name-with-colon": {"headers": {"X-A:": "1"}},
    "header-name-empty": {"headers": {"": "1"}},
    "header-name-with-blank": {"headers": {"X A": "1"}},
    "header-host": {"headers": {"Host": "internal"}},
    "header-length": {"headers": {"Content-Length": "5"}},
    "header-chunked": {"headers": {"transfer-encoding": "chunked"}},
    "header-connection": {"headers": {"Connection": "close"}},
    "header-upgrade": {"headers": {"Upgrade": "h2c"}},
    "headers-too-many": {"headers": {f"X-{number}": "1" for number in range(65)}},
    "headers-too-long": {"headers": {"X-A": "a" * 40_000}},
    "headers-no-object": {"headers": "[1]"},
    "headers-no-json": {"headers": "{"},
    "headers-deep-json": {"headers": "[" * 100_000},
    "method-with-line-break": {"method": "GET / HTTP/1.1\r\nX: 1"},
    "method-connect": {"method": "CONNECT"},
    "method-trace": {"method": "trace"},
    "method-empty": {"method": ""},
    "method-of-other-letters": {"method": "ＧＥＴ"},  # noqa: RUF001  # the point of it
    "query-nested": {"query": {"a": {"b": 1}}},
    "query-number-of-5000-digits": {"query": {"a": 10**5000}},
    "path-half-a-surrogate-pair": {"path": "a\ud800"},
    "body-half-a-surrogate-pair": {"method": "POST", "body": '"\ud800"'},
    "form-number-of-5000-digits": {"method": "POST", "body": {"a": 10**5000}, "body_as": "form"},
    "path-and-url": {"path": "a", "url": "https://public.example/"},
    "url-beside-connection": {"url": "https://public.example/"},
    "path-parameter-missing": {"path": "a/{id}"},
    "path-parameter-left-over": {"path": "a", "path_parameters": {"id": 1}},
    "path-parameter-empty": {"path": "a/{id}", "path_parameters": {"id": ""}},
    "body-no-json-text": {"method": "POST", "body": "{"},
    "body-not-a-number": {"method": "POST", "body": [float("nan")]},
    "body-form-of-a-list": {"method": "POST", "body": [1], "body_as": "form"},
    "body-form-nested": {"method": "POST", "body": {"a": {"b": 1}}, "body_as": "form"},
    "body-text-of-an-object": {"method": "POST", "body": {"a": 1}, "body_as": "text"},
    "body-forged-reference": {"method": "POST", "body": {"procos_blob": 1, "key": "../../etc/passwd"}},
    "part-forged-reference": {"method": "POST", "body": {"f": {"procos_blob": 1, "key": "a"}}, "body_as": "multipart"},
    "part-media-type": {
        "method": "POST", "body_as": "multipart",
        "body": {"f": {"content": "a", "media_type": "text/plain\r\nX: 1"}},
    },
    "part-unknown-member": {"method": "POST", "body": {"f": {"content": "a", "x": 1}}, "body_as": "multipart"},
    "parts-too-many": {"method": "POST", "body": {"f": ["a"] * 1001}, "body_as": "multipart"},
    "timeout-negative": {"timeout": -1},
    "timeout-no-number": {"timeout": float("nan")},
    "timeout-infinite": {"timeout": float("inf")},
    "status-that-is-none": {"expected_statuses": [99]},
    "response-as-unknown": {"response_as": "pickle"},
}  # fmt: skip


def ask(server: RawServer, *, seconds: float = 3, **request: object) -> Any:
    connection = HttpConnection(url=server.url, allowed_addresses=("127.0.0.1",), largest_response=250_000)
    request.setdefault("response_as", "text" if request.get("method") is None else "auto")
    deadline = time.monotonic() + seconds
    return Http(connection).call_service("request", request, deadline=deadline, idempotency_key="k")


class TestAnswer:
    @pytest.mark.parametrize("said", TOO_LARGE.values(), ids=TOO_LARGE)
    def test_that_is_too_large_is_read_no_further(self, said: bytes) -> None:
        form = "json" if JSON_TYPE.encode() in said else "text"
        with RawServer(lambda _: [said]) as server, pytest.raises(BusinessError) as raised:
            ask(server, response_as=form)
        assert raised.value.code == "RESPONSE_TOO_LARGE"

    @pytest.mark.parametrize("said", INVALID.values(), ids=INVALID)
    def test_that_no_variable_can_hold_is_an_end_the_model_may_catch(self, said: bytes) -> None:
        with RawServer(lambda _: [said]) as server, pytest.raises(BusinessError) as raised:
            ask(server, response_as="auto")
        assert raised.value.code == "RESPONSE_INVALID"

    @pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN)
    def test_that_is_broken_is_a_failed_try(self, said: bytes) -> None:
        with RawServer(lambda _: [said]) as server, pytest.raises(TransientError) as raised:
            ask(server)
        assert raised.value.code == "NO_ANSWER"

    @pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN)
    def test_that_is_broken_leaves_open_what_became_of_what_must_not_be_done_twice(self, said: bytes) -> None:
        with RawServer(lambda _: [said]) as server, pytest.raises(PermanentError) as raised:
            ask(server, method="POST", body={"a": 1})
        assert raised.value.code == "OUTCOME_UNKNOWN"

    @pytest.mark.parametrize("script", ENDLESS.values(), ids=ENDLESS)
    def test_whose_head_has_no_end_is_read_no_further(self, script: Callable[[bytes], Iterable[bytes]]) -> None:
        with RawServer(script) as server, pytest.raises(TaskError) as raised:
            ask(server)
        assert getattr(raised.value, "code", "") in {"RESPONSE_INVALID", "NO_ANSWER"}

    def test_that_comes_byte_by_byte_ends_with_the_time_of_the_step(self, dripping: RawServer) -> None:
        with pytest.raises(TransientError, match="no answer within the time"):
            ask(dripping, seconds=0.3)


@pytest.fixture
def dripping() -> Any:
    """A server that sends a byte of a header now and then, and never comes to its end."""
    pause = threading.Event()

    def script(_: bytes) -> Iterable[bytes]:
        yield HEAD
        while not pause.wait(0.05):
            yield b"X"

    with RawServer(script) as server:
        yield server
        pause.set()


class TestRequest:
    @pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
    def test_that_is_wrong_is_never_sent(self, request_: dict[str, Any]) -> None:
        with RawServer(lambda _: [answer(b"1")]) as server:
            with pytest.raises(BusinessError) as raised:
                ask(server, **request_)
            assert server.requests == []
        assert raised.value.code == "INVALID_INPUT"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["GET", "POST", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
FIELDS = sorted(Http.operations()["request"].parameters.model_fields)


OUTCOMES = {"answered", "BusinessError", "TransientError", "PermanentError", "RateLimited"}


def outcome(server: RawServer, **request: Any) -> str:
    try:
        ask(server, **request)
    except TaskError as error:
        return type(error).__name__
    return "answered"


class TestAnything:
    @settings(max_examples=60, deadline=None)
    @given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
    def test_ends_as_an_answer_or_an_error_of_ours(self, request_: dict[str, Any]) -> None:
        with RawServer(lambda _: [answer(b"1")]) as server:
            assert outcome(server, **request_) in OUTCOMES

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=200), st.sampled_from([b"", HEAD, HEAD + b"\r\n", b"HTTP/1.1 "]))
    def test_a_server_says_ends_as_an_answer_or_an_error_of_ours(self, said: bytes, start: bytes) -> None:
        with RawServer(lambda _: [start + said]) as server:
            assert outcome(server, response_as="auto") in OUTCOMES
