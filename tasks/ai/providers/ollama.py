"""Ollama by its own API: `POST /api/chat`, since its OpenAI-compatible door takes no `num_ctx`.

Without it the server cuts a longer question at its own default and says nothing. So `num_ctx` is always sent, and an
answer whose question was cut all the same is an error, not an answer. `ollama_wire` writes and reads the messages. The
answer is streamed, over the same connections as every other provider's, so that a cancelled step frees the server at
once. Source: Ollama's API documentation, "Generate a chat completion".
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from procos.logs import get_logger
from tasks.ai.providers import health
from tasks.ai.providers.faults import broke_off, of_status, too_long, unreachable
from tasks.ai.providers.lookout import checked
from tasks.ai.providers.ollama_wire import Reply, Said, error_in, message_of, read, written
from tasks.ai.providers.patience import Patience
from tasks.ai.providers.waiting import client
from tasks.ai.tokens import estimate_question, estimate_tokens

if TYPE_CHECKING:
    from datetime import timedelta

    from procos.domain.errors import TaskError
    from tasks.ai.conversation import Answer, Question
    from tasks.ai.provider import Profile, Watch

LARGEST_BODY = 8 * 1024 * 1024
LARGEST_ERROR = 64 * 1024
CONNECT_SECONDS = 5.0
USUAL_CONTEXT = 8192
LONGEST_TOKEN = 8
"""Characters, blanks apart, that even a frugal tokenizer puts into one token of a long text on average."""

log = get_logger(__name__)
_lock = threading.Lock()
_clients: list[httpx2.Client] = []


class Ollama:
    """One Ollama server; made for each question, since the connections are shared by all of them in the process."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._context = profile.capabilities.context_window or USUAL_CONTEXT

    @property
    def profile(self) -> Profile:
        """What the settings say of it."""
        return self._profile

    def complete(self, question: Question, *, within: timedelta, watch: Watch) -> Answer:
        """Ask, and return the answer; errors as `Provider` says."""
        patience = Patience(self._profile, watch, within=within)
        with checked(patience.check):
            said = self._asked(question, patience)
        if self._was_cut(question, said):
            log.warning("ai.question_cut", provider=self._profile.name, context=self._context)
            raise too_long(self._profile)
        return said.answer(question.model)

    def health(self) -> str:
        """Return why `GET /api/tags`, the list of models, does not answer."""
        return health.of(self._profile, f"{self._profile.base_url}/api/tags", self._headers())

    def estimate_tokens(self, text: str) -> int:
        """Return about how many tokens a text is."""
        return estimate_tokens(text)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._profile.api_key}"} if self._profile.api_key else {}

    def _asked(self, question: Question, patience: Patience) -> Said:
        body = written(question, context=self._context, takes_schema=self._profile.capabilities.json_schema)
        limit = patience.left
        timeout = httpx2.Timeout(limit, connect=min(CONNECT_SECONDS, limit))
        url = f"{self._profile.base_url}/api/chat"
        try:
            with _client().stream("POST", url, json=body, headers=self._headers(), timeout=timeout) as response:
                if response.status_code != HTTPStatus.OK:
                    raise self._refused(response, question)
                return self._read(response, patience, question)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            patience.check()
            raise unreachable(self._profile, error) from error
        except httpx2.HTTPError as error:
            patience.check()
            raise broke_off(self._profile, type(error).__name__) from error

    def _read(self, response: httpx2.Response, patience: Patience, question: Question) -> Said:
        said = Said()
        for reply in read(response.iter_bytes(), self._profile, largest=LARGEST_BODY):
            patience.check()
            if reply.error:
                raise self._error(HTTPStatus.INTERNAL_SERVER_ERROR, reply.error, response, question)
            self._take(said, reply, patience)
            if reply.done:
                return said
        raise broke_off(self._profile)

    def _take(self, said: Said, reply: Reply, patience: Patience) -> None:
        message = message_of(reply, self._profile)
        said.add(reply, message)
        if message.content or message.thinking or message.tool_calls:
            patience.heard(message.content)

    def _refused(self, response: httpx2.Response, question: Question) -> TaskError:
        body = b""
        for piece in response.iter_bytes():
            body += piece
            if len(body) > LARGEST_ERROR:
                break
        return self._error(response.status_code, error_in(body), response, question)

    def _error(self, status: int, said: str, response: httpx2.Response, question: Question) -> TaskError:
        words = said.lower()
        if (
            status < HTTPStatus.INTERNAL_SERVER_ERROR
            and "context" in words
            and ("length" in words or "exceed" in words)
        ):
            return too_long(self._profile)
        return of_status(status, response.headers, self._profile, model=question.model, said=said)

    def _was_cut(self, question: Question, said: Said) -> bool:
        """Whether the server saw less than was asked: it counts fewer tokens than the text can have."""
        counted = said.prompt_tokens
        if counted is None or estimate_question(question) + question.max_tokens <= self._context:
            return False
        fewest = len("".join(question.text.split())) // LONGEST_TOKEN
        return counted < fewest or counted + said.completion_tokens >= self._context


def _client() -> httpx2.Client:
    with _lock:
        if not _clients:
            _clients.append(client())
        return _clients[0]
