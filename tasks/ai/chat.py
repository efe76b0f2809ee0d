"""One question to one provider, over the chat completions every OpenAI-compatible server speaks.

`ai_query` calls `complete`; `tasks.ai.chat_answer` reads what comes back and `tasks.ai.chat_faults` turns what goes
wrong into our errors. The client retries nothing: the engine decides about retries. The answer is streamed, so that a
cancelled step frees the provider at once, and read in pieces, because servers that keep a connection warm with blanks
would outlast any timeout between two of them. Servers that do not stream are asked for the whole.

Importing this module imports `openai`, which takes a second: do so where a question is asked, not before.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2  # the transport of openai's client: its errors come through while a body is read
import openai

from procos.domain.errors import TransientError
from procos.logs import get_logger
from tasks.ai.cancellable import CancellableTransport, stop_if_cancelled, unless
from tasks.ai.chat_answer import Answer, read_answer
from tasks.ai.chat_faults import declines_streaming, streamed_error, task_error
from tasks.ai.chat_stream import StreamedError, assembled, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from tasks.ai.providers import Provider

LARGEST_BODY = 8 * 1024 * 1024
CONNECT_SECONDS = 5.0
LEAST_SECONDS = 0.001
OPENAI_HOST = "api.openai.com"
MANNERS: Sequence[Mapping[str, Any]] = (
    {"stream": True, "stream_options": {"include_usage": True}},
    {"stream": True},
    {},
)
"""How an answer is asked for: streamed with its token counts, streamed, whole."""

log = get_logger(__name__)

_clients: dict[tuple[str, str], openai.OpenAI] = {}
_clients_lock = threading.Lock()
_declined: dict[tuple[str, str], int] = {}
"""How many of the manners a provider has declined for a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, of which model, and within which limits."""

    text: str
    model: str
    max_tokens: int
    temperature: float
    idempotency_key: str


def complete(
    provider: Provider, question: Question, *, within: timedelta, is_cancelled: Callable[[], bool] = lambda: False
) -> Answer:
    """Ask a provider one question and return its answer.

    Raises:
        TaskError: whatever went wrong, as `tasks.ai.chat_faults` and `tasks.ai.chat_answer` classify it.
        StepCancelled: the step was cancelled before the answer was there.
    """
    limit = min(provider.timeout, within).total_seconds()
    if limit <= 0:
        raise TransientError("no time is left to ask the AI provider")
    with unless(is_cancelled):
        return read_answer(_answered(provider, question, time.monotonic() + limit), provider)


def _answered(provider: Provider, question: Question, deadline: float) -> bytes | Mapping[str, Any]:
    """Ask in the best manner that provider and model are known to take, and in a plainer one if they decline."""
    asked = (provider.base_url, question.model)
    for manner in MANNERS[_declined.get(asked, 0) :]:
        try:
            return _post(provider, question, manner, deadline)
        except openai.APIError as error:
            stop_if_cancelled()
            if not declines_streaming(error) or manner is MANNERS[-1]:
                raise task_error(error, provider, model=question.model) from error
            _declined[asked] = MANNERS.index(manner) + 1
            log.info("ai.manner_declined", provider=provider.name, model=question.model, manner=sorted(manner))
        except httpx2.HTTPError as error:
            stop_if_cancelled()
            raise TransientError(f"{provider.name} at {provider.address} broke off: {type(error).__name__}") from error
    raise AssertionError("the plainest manner either answers or raises")


def _post(
    provider: Provider, question: Question, manner: Mapping[str, Any], deadline: float
) -> bytes | Mapping[str, Any]:
    create = client_of(provider).chat.completions.with_streaming_response.create
    left = max(deadline - time.monotonic(), LEAST_SECONDS)
    with create(**_request(provider, question), **manner, timeout=_timeout(left)) as response:
        pieces = _in_time(response.iter_bytes(), deadline, provider)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            return _read(pieces, provider)
        try:
            return assembled(pieces, provider, largest=LARGEST_BODY)
        except StreamedError as error:
            raise streamed_error(error.said, response.http_response, provider, model=question.model) from error


def _request(provider: Provider, question: Question) -> dict[str, Any]:
    # OpenAI's newer models refuse max_tokens, most compatible servers know nothing else.
    is_openai = urlsplit(provider.base_url).hostname == OPENAI_HOST
    return {
        "model": question.model,
        "messages": [{"role": "user", "content": question.text}],
        "temperature": question.temperature,
        "max_completion_tokens" if is_openai else "max_tokens": question.max_tokens,
        "extra_headers": {"Idempotency-Key": question.idempotency_key},
    }


def _timeout(limit: float) -> openai.Timeout:
    return openai.Timeout(limit, connect=min(CONNECT_SECONDS, limit))


def _in_time(pieces: Iterable[bytes], deadline: float, provider: Provider) -> Iterator[bytes]:
    for piece in pieces:
        stop_if_cancelled()
        yield piece
        if time.monotonic() > deadline:
            raise TransientError(f"{provider.name} at {provider.address} did not finish its answer in time")


def _read(pieces: Iterable[bytes], provider: Provider) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > LARGEST_BODY:
            raise too_large(provider, LARGEST_BODY)
    return bytes(body)


def client_of(provider: Provider) -> openai.OpenAI:
    """Return this process's client for a provider, with its pool of connections; made once, used by all threads."""
    with _clients_lock:
        key = (provider.base_url, provider.api_key)
        if key not in _clients:
            _clients[key] = openai.OpenAI(
                base_url=provider.base_url,
                api_key=provider.api_key,
                max_retries=0,
                # Neither proxies from the environment nor redirects: the configured address, or an error.
                http_client=openai.DefaultHttpxClient(
                    trust_env=False, follow_redirects=False, transport=CancellableTransport()
                ),
            )
        return _clients[key]
