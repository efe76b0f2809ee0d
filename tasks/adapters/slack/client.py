"""Slack's own client, with what goes over the wire in our hands: no retries, no redirects, no log of what is said.

Imported when a step first calls Slack, since the library is large.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tasks.adapters.exchange import Answer, AnswerLostError, Request, Way, exchange

if TYPE_CHECKING:
    import urllib.request

    from tasks.adapters.slack.connection import SlackConnection

OK = 200
SILENT = logging.getLogger(__name__)
SILENT.setLevel(logging.CRITICAL + 1)  # the library writes messages and answers into its log


class StatusError(Exception):
    """Raised when an answer is not 200; carries it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"HTTP {answer.status}")


class NoError(Exception):
    """Raised when Slack says no; carries its word, the scope it needs, and the answer."""

    def __init__(self, word: str, needed: str, answer: Answer) -> None:
        self.word, self.needed, self.answer = word, needed, answer
        super().__init__(word)


class SlackClient(WebClient):
    """Calls methods of the Web API, one exchange each."""

    def __init__(self, connection: SlackConnection, way: Way) -> None:
        token = connection.token.get_secret_value()
        super().__init__(token=token, base_url=connection.base_url, retry_handlers=[], logger=SILENT)
        self._way = way
        self._answer: Answer | None = None

    def say(self, method: str, arguments: dict[str, Any], *, as_form: bool = False) -> dict[str, Any]:
        """Call a method, and return what it says.

        Raises:
            NoError: Slack says no.
            StatusError: its answer is not 200.
            NothingSentError, AnswerLostError: there is no answer.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            said: Any = (self.api_call(method, params=given) if as_form else self.api_call(method, json=given)).data
        except SlackApiError as error:
            word, needed = error.response.get("error"), error.response.get("needed")
            raise NoError(str(word), str(needed or ""), self._last()) from None
        found: dict[str, Any] = said
        return found

    def put(self, url: str, content: bytes) -> None:
        """Send the content of a file to where Slack wants it; the address is the only credential.

        Raises:
            StatusError: the answer is not 200.
            NothingSentError, AnswerLostError: there is no answer.
        """
        headers = {"Content-Type": "application/octet-stream"}
        answer = exchange(Request(method="POST", url=url, headers=headers, body=content), self._way)
        if answer.status != OK:
            raise StatusError(answer)

    def _perform_urllib_http_request_internal(self, url: str, req: urllib.request.Request) -> dict[str, Any]:
        """Do what the library would do with urllib, which waits as long as it likes and follows any redirect."""
        body = req.data if isinstance(req.data, bytes) else None
        headers = {name: str(value) for name, value in req.header_items()}
        request = Request(method="POST", url=url, headers=headers, body=body)
        self._answer = answer = exchange(request, self._way)
        if answer.status != OK:
            raise StatusError(answer)
        return {"status": OK, "headers": answer.headers, "body": _slacks_own(answer.body)}

    def _last(self) -> Answer:
        return self._answer or Answer(status=OK, headers={}, body=b"")


def _slacks_own(body: bytes) -> str:
    """Return an answer as JSON text, if it is what the library takes for granted."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not (said.get("ok") is True or isinstance(said.get("error"), str)):
        raise AnswerLostError("the answer is none of Slack's")
    return json.dumps(said)
