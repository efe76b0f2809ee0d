"""One question to one provider, over the chat completions every OpenAI-compatible server speaks.

`ai_query` calls `complete`; `tasks.ai.chat_answer` reads what comes back and `tasks.ai.chat_faults` turns what goes
wrong into our errors. The client retries nothing: the engine decides about retries. The body is read in pieces,
because servers that keep a connection warm with blanks would outlast any timeout between two pieces.

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

from procos.domain.errors import PermanentError, TransientError
from tasks.ai.chat_answer import Answer, read_answer
from tasks.ai.chat_faults import task_error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from tasks.ai.providers import Provider

LARGEST_BODY = 8 * 1024 * 1024
CONNECT_SECONDS = 5.0
OPENAI_HOST = "api.openai.com"

_clients: dict[tuple[str, str], openai.OpenAI] = {}
_clients_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, of which model, and within which limits."""

    text: str
    model: str
    max_tokens: int
    temperature: float
    idempotency_key: str


def complete(provider: Provider, question: Question, *, within: timedelta) -> Answer:
    """Ask a provider one question and return its answer.

    Raises:
        TaskError: whatever went wrong, as `tasks.ai.chat_faults` and `tasks.ai.chat_answer` classify it.
    """
    limit = min(provider.timeout, within).total_seconds()
    if limit <= 0:
        raise TransientError("no time is left to ask the AI provider")
    return read_answer(_post(provider, question, limit), provider)


def _post(provider: Provider, question: Question, limit: float) -> bytes:
    deadline = time.monotonic() + limit
    create = client_of(provider).chat.completions.with_streaming_response.create
    try:
        with create(**_request(provider, question), timeout=_timeout(limit)) as response:
            return _read(response.iter_bytes(), deadline, provider)
    except openai.APIError as error:
        raise task_error(error, provider, model=question.model) from error
    except httpx2.HTTPError as error:
        raise TransientError(f"{provider.name} at {provider.address} broke off: {type(error).__name__}") from error


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


def _read(pieces: Iterable[bytes], deadline: float, provider: Provider) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > LARGEST_BODY:
            raise PermanentError(
                f"{provider.name} at {provider.address} sent an answer of more than {LARGEST_BODY} bytes",
                code="BAD_ANSWER",
            )
        if time.monotonic() > deadline:
            raise TransientError(f"{provider.name} at {provider.address} did not finish its answer in time")
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
                http_client=openai.DefaultHttpxClient(trust_env=False, follow_redirects=False),
            )
        return _clients[key]
