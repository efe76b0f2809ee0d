"""A provider that costs nothing and thinks nothing: the same answer to everybody, streamed or whole.

Run as a program of its own, so that what it costs is not counted; prints its address on stdout.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ("forty", " two", ",", " as", " always") * 20
USAGE = {"prompt_tokens": 12, "completion_tokens": len(WORDS), "total_tokens": 12 + len(WORDS)}
MODEL = "gpt-4o-mini"


def _event(document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _chunk(**choice: object) -> bytes:
    return _event({"id": "c", "object": "chat.completion.chunk", "model": MODEL, "choices": [{"index": 0, **choice}]})


STREAM = b"".join(
    [
        *(_chunk(delta={"content": word}, finish_reason=None) for word in WORDS),
        _chunk(delta={}, finish_reason="stop"),
        _event({"id": "c", "object": "chat.completion.chunk", "model": MODEL, "choices": [], "usage": USAGE}),
        b"data: [DONE]\n\n",
    ]
)
WHOLE = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "".join(WORDS)}}],
        "usage": USAGE,
    }
).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers each chat."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        is_streamed = bool(asked.get("stream"))
        body = STREAM if is_streamed else WHOLE
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if is_streamed else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/v1\n")
        sys.stdout.flush()
        server.serve_forever()
