"""A provider on loopback that does as it is told in the question: for what no real model can be relied on to do.

It answers chat completions, whole. Offered tools, it wants the first one called, twice, for the orders 17 and 99; told
what the tools gave, it repeats that, or wants them called again where it reads `again`. The word `filtered`,
`refused` or `speechless` in the question has it do so; an answer to the last has no text for want of tokens. Asked
`slowly` it takes a while, and to `broken` it answers 500. Of a request it takes no part that it `declines`.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ORDERS = ("17", "99")
A_WHILE_SECONDS = 0.3


class ScriptedProvider(ThreadingHTTPServer):
    """The server; `asked` are the bodies of all questions, in their order, `at_once` how many were open at each."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Mapping[str, Any]] = []
        self.at_once: list[int] = []
        self.declines: tuple[str, ...] = ()
        self._open = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """What a setting says."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @contextmanager
    def answering(self, question: Mapping[str, Any]) -> Iterator[None]:
        """Count a question as open until the end of the block."""
        with self._lock:
            self._open += 1
            self.asked.append(question)
            self.at_once.append(self._open)
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1

    def handle_error(self, *_: object) -> None:
        """Workers that are killed in mid-answer are part of these tests."""


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedProvider

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last = question["messages"][-1]
        with self.server.answering(question):
            if "slowly" in str(last["content"]):
                threading.Event().wait(A_WHILE_SECONDS)
        self._answer(question, last)

    def _answer(self, question: Mapping[str, Any], last: Mapping[str, Any]) -> None:
        answer = {"model": "script", "choices": [_choice(question, last)], "usage": _usage()}
        status = 500 if "broken" in str(last["content"]) else 200
        if part := next((part for part in self.server.declines if part in question), None):
            answer, status = {"error": {"message": f"Unsupported parameter: '{part}'"}}, 400
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def _choice(question: Mapping[str, Any], last: Mapping[str, Any]) -> Mapping[str, Any]:
    said = str(last["content"])
    if "filtered" in said:
        return {"finish_reason": "content_filter", "message": {"content": ""}}
    if "refused" in said:
        return {"finish_reason": "stop", "message": {"content": None, "refusal": "I won't."}}
    if "speechless" in said:
        return {"finish_reason": "length", "message": {"content": ""}}
    if question.get("tools") and (last["role"] == "user" or "again" in said):
        name = question["tools"][0]["function"]["name"]
        calls = [
            {"id": f"call-{order}", "function": {"name": name, "arguments": json.dumps({"order_id": order})}}
            for order in ORDERS
        ]
        return {"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": calls}}
    results = [message["content"] for message in question["messages"] if message["role"] == "tool"]
    return {"finish_reason": "stop", "message": {"content": " and ".join(results) or "42"}}


def _usage() -> Mapping[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@contextmanager
def scripted_provider() -> Iterator[ScriptedProvider]:
    """Serve until the end of the block."""
    with ScriptedProvider() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)
