"""PyGithub's requester and credentials, with what goes over the wire in our hands.

The library's objects fetch more when they are looked at, wait and ask again by themselves, and take a redirect of a
POST for its success; so its requester is asked for one request at a time, over a wire of ours. Imported when a step
first calls GitHub, since the library is large.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from github import Auth
from github.Requester import Requester

from procos.domain.errors import RateLimited, TransientError
from tasks.adapters.exchange import Answer, AnswerLostError, Request, Way, exchange
from tasks.adapters.github.app_tokens import app_token, forget
from tasks.adapters.github.verdicts import verdict
from tasks.adapters.web import answer_lost, auth_failed

if TYPE_CHECKING:
    from tasks.adapters.github.connection import GitHubConnection

logging.getLogger("github").setLevel(logging.WARNING)  # at DEBUG it writes requests and answers into the log
API_VERSION = "2022-11-28"
SUCCESS = range(200, 300)
UNAUTHORIZED = 401
ASKING = "app token"
MOVED = {301, 302, 307, 308}
"""GitHub answers so for a repository that was renamed or moved, and asks for the same request there."""
MOST_MOVES = 3


class NoError(Exception):
    """Raised when GitHub's answer is no success; carries it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"HTTP {answer.status}")


class GitHubClient:
    """Makes requests of the REST API, one exchange each."""

    def __init__(self, connection: GitHubConnection, way: Way) -> None:
        self._connection, self._way = connection, way

    def ask(
        self, verb: str, path: str, *, parameters: dict[str, Any] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make a request, and return the JSON object that answers it; an empty answer is an empty object.

        Raises:
            NoError: the answer is no success.
            PermanentError: AUTH_FAILED, where the app gets no token.
            TransientError, RateLimited: it gets none now; what is asked for was not.
            NothingSentError, AnswerLostError: there is no answer.
        """
        if self._connection.token:
            return self._asked(Auth.Token(self._connection.token.get_secret_value()), verb, path, parameters, body)
        token, is_fresh = app_token(self._connection, self._app_asks)
        try:
            return self._asked(Auth.Token(token), verb, path, parameters, body)
        except NoError as no:
            if is_fresh or no.answer.status != UNAUTHORIZED:
                raise
        # Refused, so nothing was done: the token may have been revoked before its time.
        forget(self._connection)
        token, _ = app_token(self._connection, self._app_asks)
        return self._asked(Auth.Token(token), verb, path, parameters, body)

    def _app_asks(self, app: Auth.AppAuth, path: str) -> dict[str, Any]:
        """Ask for a token; a failure says nothing of what the token is for, which was not asked for yet."""
        try:
            return self._asked(app, "POST", path, None, {})
        except NoError as no:
            error = verdict(ASKING, no.answer, is_repeatable=True)
            if isinstance(error, TransientError | RateLimited):
                raise error from None
            where = "look at app_id, installation_id and private_key"
            raise auth_failed("GitHub", f"the app gets no token (HTTP {no.answer.status}); {where}") from None
        except AnswerLostError as lost:
            raise answer_lost(ASKING, lost, is_repeatable=True) from None

    def _asked(
        self,
        credentials: Auth.Auth,
        verb: str,
        path: str,
        parameters: dict[str, Any] | None,
        body: dict[str, Any] | None,
    ) -> dict[str, Any]:
        wire = _Wire(self._connection.base_url, self._way)
        requester = Requester(
            auth=credentials,
            base_url=self._connection.base_url,
            timeout=1,  # of its own connections, which are never used
            user_agent="procos",
            per_page=30,
            verify=True,
            retry=None,
            pool_size=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            api_version=API_VERSION,
        )
        headers = {"Accept": "application/vnd.github+json"}
        over: Any = wire
        requester.requestJson(verb, path, parameters, headers, body, cnx=over)
        return _object(wire.status_and_body())


class _Wire:
    """What the requester takes for a connection; its answers are kept, and shown to it without their headers.

    The requester acts on headers of its own accord, and stumbles over numbers in them that are none.
    """

    def __init__(self, base_url: str, way: Way) -> None:
        origin = urlsplit(base_url)
        self._origin, self._way = f"{origin.scheme}://{origin.netloc}", way
        self._request: Request | None = None
        self._answer: Answer | None = None

    def request(self, verb: str, url: str, body: str | None, headers: dict[str, str], _stream: bool = False) -> None:  # noqa: FBT001, FBT002  # as it is called
        """Take a request."""
        content = body.encode() if body is not None else None
        self._request = Request(method=verb, url=self._origin + url, headers=headers, body=content)

    def getresponse(self) -> _Wire:
        """Make it, and follow where it leads within the same server."""
        assert self._request is not None  # noqa: S101  # the requester asks after `request`
        request = self._request
        for _ in range(MOST_MOVES):
            self._answer = exchange(request, self._way)
            place = _place(request.url, self._answer)
            if not place.startswith(f"{self._origin}/"):
                break
            request = Request(method=request.method, url=place, headers=request.headers, body=request.body)
        return self

    status = 200
    """Whatever it is: the requester would wait and ask again at a 202, and follow a 301 anywhere."""

    def getheaders(self) -> list[tuple[str, str]]:
        """Return none."""
        return []

    def read(self) -> str:
        """Return nothing."""
        return ""

    def status_and_body(self) -> Answer:
        """Return the answer.

        Raises:
            NoError: it is no success.
        """
        assert self._answer is not None  # noqa: S101  # asked after `getresponse`
        if self._answer.status not in SUCCESS:
            raise NoError(self._answer)
        return self._answer


def _place(url: str, answer: Answer) -> str:
    """Return where an answer says that what was asked for is now; empty where it says nothing of the kind."""
    to = answer.headers.get("location")
    if answer.status not in MOVED or not to:
        return ""
    try:
        return urljoin(url, to)
    except ValueError:  # it is no address
        return ""


def _object(answer: Answer) -> dict[str, Any]:
    if not answer.body.strip():
        return {}
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise AnswerLostError("the answer is no JSON object")
    return said
