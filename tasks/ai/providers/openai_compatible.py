"""Providers that speak OpenAI's chat completions: OpenAI itself, and every server that calls itself compatible.

`chat_request` writes the question, `chat_stream` and `chat_answer` read what comes back, `chat_faults` turns what goes
wrong into our errors. The client retries nothing: the engine decides about retries. The answer is streamed, so that a
cancelled or stalled call frees the provider at once. What some models decline, streaming and temperature among it, is
left out: the `Watch` knows it, and is told before the next request.

Importing this module imports `openai`, which takes a second: do so where a question is asked, not before.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx2  # the transport of openai's client: its errors come through while a body is read
import openai

from tasks.ai.providers import health
from tasks.ai.providers.chat_answer import read_answer
from tasks.ai.providers.chat_faults import DISPENSABLE, STREAM, declined, streamed_error, task_error
from tasks.ai.providers.chat_request import written
from tasks.ai.providers.chat_stream import StreamedError, assembled
from tasks.ai.providers.faults import broke_off, too_large
from tasks.ai.providers.lookout import checked
from tasks.ai.providers.patience import Patience
from tasks.ai.providers.waiting import CheckedTransport
from tasks.ai.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import timedelta

    from tasks.ai.conversation import Answer, Question
    from tasks.ai.provider import Profile, Watch

LARGEST_BODY = 8 * 1024 * 1024
CONNECT_SECONDS = 5.0

_clients: dict[tuple[str, str], openai.OpenAI] = {}
_clients_lock = threading.Lock()


class OpenaiCompatible:
    """One such provider; made for each question, since what costs is shared by all of them in the process."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    @property
    def profile(self) -> Profile:
        """What the settings say of it."""
        return self._profile

    def complete(self, question: Question, *, within: timedelta, watch: Watch) -> Answer:
        """Ask, and return the answer; errors as `Provider` says."""
        patience = Patience(self._profile, watch, within=within)
        with checked(patience.check):
            body = self._answered(question, patience, watch)
            return read_answer(body, self._profile, model=question.model)

    def health(self) -> str:
        """Return why `GET /models` does not answer; no model is asked anything."""
        key = self._profile.api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return health.of(self._profile, f"{self._profile.base_url}/models", headers, may_lack=True)

    def estimate_tokens(self, text: str) -> int:
        """Return about how many tokens a text is."""
        return estimate_tokens(text)

    def _answered(self, question: Question, patience: Patience, watch: Watch) -> bytes | Mapping[str, Any]:
        """Ask with all that provider and model are known to take, and with less as they decline."""
        given_up = set(watch.declined())
        while True:  # one part less each time
            sent = [part for part in DISPENSABLE if part not in given_up]
            try:
                return self._post(question, sent, patience)
            except openai.APIError as error:
                patience.check()
                part = declined(error, sent)
                if part is None:
                    raise task_error(error, self._profile, model=question.model) from error
            except httpx2.HTTPError as error:
                patience.check()
                raise broke_off(self._profile, type(error).__name__) from error
            watch.declines(part)
            patience.asks_again()
            given_up |= {part, *watch.declined()}

    def _post(self, question: Question, sent: list[str], patience: Patience) -> bytes | Mapping[str, Any]:
        if STREAM not in sent:
            patience.expects_the_whole()
        create = client_of(self._profile).chat.completions.with_streaming_response.create
        request = written(question, self._profile, parts=sent)
        with create(**request, timeout=_timeout(patience.left)) as response:
            pieces = _in_time(response.iter_bytes(), patience)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return self._read(pieces)
            try:
                return assembled(pieces, self._profile, largest=LARGEST_BODY, heard=patience.heard)
            except StreamedError as error:
                raise streamed_error(
                    error.said, response.http_response, self._profile, model=question.model
                ) from error  # fmt: skip

    def _read(self, pieces: Iterable[bytes]) -> bytes:
        body = bytearray()
        for piece in pieces:
            body += piece
            if len(body) > LARGEST_BODY:
                raise too_large(self._profile, LARGEST_BODY)
        return bytes(body)


def _in_time(pieces: Iterable[bytes], patience: Patience) -> Iterator[bytes]:
    for piece in pieces:
        patience.check()
        yield piece


def _timeout(limit: float) -> openai.Timeout:
    return openai.Timeout(limit, connect=min(CONNECT_SECONDS, limit))


def client_of(profile: Profile) -> openai.OpenAI:
    """Return this process's client for a provider, with its pool of connections; made once, used by all threads."""
    with _clients_lock:
        key = (profile.base_url, profile.api_key)
        if key not in _clients:
            _clients[key] = openai.OpenAI(
                base_url=profile.base_url,
                api_key=profile.api_key or "none",  # the client insists on one
                max_retries=0,
                # Neither proxies from the environment nor redirects: the configured address, or an error.
                http_client=openai.DefaultHttpxClient(
                    trust_env=False, follow_redirects=False, transport=CheckedTransport()
                ),
            )
        return _clients[key]
