"""Providers, questions and answers for tests: complete where it does not matter, named where it does."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from procos import ai_keys as keys
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from tasks.ai.conversation import Answer, FinishReason, Message, Question, Role
from tasks.ai.provider import Capabilities, Profile, Watch
from tasks.context import TaskContext

if TYPE_CHECKING:
    import redis

    from procos.settings import Settings

REDIS_AWAY = "redis://127.0.0.1:1/0"
"""Where nothing listens."""


def profile(name: str = "mistral", **changes: Any) -> Profile:
    """Return a provider that may cost something."""
    fields: dict[str, Any] = {
        "kind": "openai",
        "base_url": "https://api.mistral.ai/v1",
        "api_key": "sk-test",
        "model": "mistral-small-latest",
        "timeout": timedelta(seconds=60),
        "first_token_timeout": timedelta(seconds=60),
        "token_timeout": timedelta(seconds=20),
        "health_timeout": timedelta(seconds=5),
        "capabilities": Capabilities(),
        "address_setting": "PROCOS_PROVIDERS__MISTRAL__URL",
        "key_setting": "PROCOS_PROVIDERS__MISTRAL__API_KEY",
        "model_setting": "PROCOS_PROVIDERS__MISTRAL__MODEL",
    }
    return Profile(name=name, **(fields | changes))


def free_profile(name: str = "ollama", **changes: Any) -> Profile:
    """Return a provider that costs nothing."""
    return profile(name, **({"kind": "ollama", "base_url": "http://ollama.example:11434"} | changes))


def question(text: str = "What is a process engine?", **changes: Any) -> Question:
    """Return a question."""
    fields: dict[str, Any] = {"model": "model", "max_tokens": 100, "temperature": 0.0}
    return Question(messages=(Message(role=Role.USER, content=text),), **(fields | changes))


def answer(text: str = "42", **changes: Any) -> Answer:
    """Return an answer."""
    return Answer(text=text, model="model-1", **({"finish_reason": FinishReason.STOP} | changes))


def context_of(settings: Settings, *, seconds: float = 60.0, **changes: Any) -> TaskContext:
    """Return the context of a step."""
    fields: dict[str, Any] = {
        "external_task_id": ExternalTaskId("task-1"),
        "process_instance_id": ProcessInstanceId("instance-1"),
        "business_key": None,
        "topic": Topic("ai_query"),
        "celery_id": "celery-1",
        "deadline": time.monotonic() + seconds,
        "cancelled": lambda: False,
    }
    return TaskContext(settings=settings, **(fields | changes))


class HealthyOrNot:
    """A provider of which nothing but the health matters; counts how often it was asked for it."""

    def __init__(self, problem: str = "", **changes: Any) -> None:
        self.profile, self.problem, self.checks = profile(**changes), problem, 0

    def complete(self, question: Question, *, within: timedelta, watch: Watch) -> Answer:
        raise NotImplementedError

    def health(self) -> str:
        self.checks += 1
        return self.problem

    def estimate_tokens(self, text: str) -> int:
        return len(text)


SHIFT = """
for _, name in ipairs({'requests', 'tokens', 'places'}) do
  if redis.call('HEXISTS', KEYS[1], name) == 1 then redis.call('HINCRBYFLOAT', KEYS[1], name, -ARGV[1]) end
end
for key = 2, #KEYS do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[key], 0, -1)) do redis.call('ZINCRBY', KEYS[key], -ARGV[1], id) end
end
"""


def shift(store: redis.Redis, provider: str, *, milliseconds: float) -> None:
    """Let a provider's schedule, promises and places lie further in the past, as if that time had gone by."""
    moments = (keys.reserved, keys.vacant, keys.standing_by, keys.kept_places, keys.places)
    store.eval(SHIFT, 6, *(key(provider) for key in (keys.schedule, *moments)), milliseconds)
