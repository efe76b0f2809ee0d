"""A web server that costs little: a small JSON document, and a large file that is never held in memory.

Run as a program of its own, so that what it costs is not counted; prints its address on stdout.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SMALL = json.dumps({"text": "x" * 1000}).encode()
MEGABYTES = 100
BLOCK = bytes(range(256)) * 4096
"""A mebibyte."""


class Handler(BaseHTTPRequestHandler):
    """Answers each question."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        is_large = self.path == "/large"
        self.send_response(200)
        self.send_header("content-type", "application/octet-stream" if is_large else "application/json")
        self.send_header("content-length", str(MEGABYTES * len(BLOCK) if is_large else len(SMALL)))
        self.end_headers()
        for block in [BLOCK] * MEGABYTES if is_large else [SMALL]:
            self.wfile.write(block)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()
