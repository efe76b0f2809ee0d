"""Reads an answer in pieces, unpacked, and stops as soon as it is larger than it may be.

gzip and deflate are unpacked, as we ask for them; nothing else, and nothing packed twice. What is unpacked comes in
pieces of one size, whatever a compressed byte stands for.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from procos.domain.errors import BusinessError
from tasks.adapters.http.transport import FAULTS, RESPONSE_INVALID, failure
from tasks.adapters.http.wire import under_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import BaseHTTPResponse

    from tasks.adapters.http.transport import Outgoing
    from tasks.adapters.http.wire import Exchange

ACCEPTED = "gzip, deflate"
CHUNK = 64 * 1024
RESPONSE_TOO_LARGE = "RESPONSE_TOO_LARGE"
BOMB_RATIO, BOMB_FREE = 200, 1024 * 1024
"""Bytes one packed byte may stand for, beyond a first megabyte: text is packed 3 to 20 times, a bomb 1,000 times."""


def pieces(answer: BaseHTTPResponse, outgoing: Outgoing, exchange: Exchange, *, largest: int) -> Iterator[bytes]:
    """Return the content of an answer as it comes, at most `largest` bytes.

    Raises:
        BusinessError: RESPONSE_TOO_LARGE; RESPONSE_INVALID, where it is packed in a way nobody asked for, or broken.
        TransientError, PermanentError: it broke off; see `failure`.
    """
    place = outgoing.address.place
    packed = _Counted(answer, outgoing, exchange, largest)
    seen = 0
    try:
        for piece in _unpacked(packed, answer.headers.get("content-encoding", "").strip().lower(), place):
            seen += len(piece)
            if seen > largest:
                raise BusinessError(RESPONSE_TOO_LARGE, f"{place}: the answer has more than {largest} bytes")
            if seen > BOMB_FREE + BOMB_RATIO * packed.size:
                raise BusinessError(
                    RESPONSE_TOO_LARGE, f"{place}: the answer unpacks to more than {BOMB_RATIO} times its size"
                )
            yield piece
    except zlib.error:
        raise BusinessError(RESPONSE_INVALID, f"{place}: the answer is not packed as it says") from None
    finally:
        if not packed.is_read:
            answer.close()  # what is left of it is nobody's


class _Counted:
    """What comes over the wire, in pieces."""

    def __init__(self, answer: BaseHTTPResponse, outgoing: Outgoing, exchange: Exchange, largest: int) -> None:
        self._answer, self._outgoing, self._exchange, self._largest = answer, outgoing, exchange, largest
        self.size, self.is_read = 0, False

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._read():
            self.size += len(piece)
            if self.size > self._largest:
                place = self._outgoing.address.place
                raise BusinessError(RESPONSE_TOO_LARGE, f"{place}: the answer has more than {self._largest} bytes")
            yield piece
        self.is_read = True

    def _read(self) -> bytes:
        try:
            with under_way(self._exchange):
                return self._answer.read(CHUNK, decode_content=False)
        except FAULTS as error:
            raise failure(error, self._outgoing, self._exchange) from error


def _unpacked(packed: _Counted, coding: str, place: str) -> Iterator[bytes]:
    match coding:
        case "" | "identity":
            return iter(packed)
        case "gzip" | "x-gzip":
            return _inflated(packed, lambda _: zlib.decompressobj(16 + zlib.MAX_WBITS), place)
        case "deflate":
            return _inflated(packed, _deflater, place)
    raise BusinessError(RESPONSE_INVALID, f"{place}: the answer is packed as nobody asked for; expected {ACCEPTED}")


def _deflater(start: bytes) -> Any:
    """Return what unpacks deflate as RFC 9110 means it, or without its frame, as some servers send it."""
    has_frame = len(start) > 1 and start[0] & 0x0F == zlib.DEFLATED and (start[0] << 8 | start[1]) % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if has_frame else -zlib.MAX_WBITS)


def _inflated(packed: _Counted, new: Callable[[bytes], Any], place: str) -> Iterator[bytes]:
    unpacker: Any = None
    for piece in packed:
        left = piece
        while left:
            unpacker = new(left) if unpacker is None or unpacker.eof else unpacker
            yield unpacker.decompress(left, CHUNK)
            left = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    while unpacker is not None and not unpacker.eof:
        last = unpacker.decompress(b"", CHUNK)
        if not last:
            raise BusinessError(RESPONSE_INVALID, f"{place}: the answer ends before what is packed in it does")
        yield last
