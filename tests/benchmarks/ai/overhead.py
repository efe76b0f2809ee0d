"""What an AI step costs this process beside the bare client: CPU a call, in rounds that take turns.

Ours is the whole function of the topic, with limits, breaker, budget and the kept answer in a real Redis. The bare one
is the official client as its documentation shows it, once for a whole answer and once for a stream that is read to its
end, which is what ours does.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import openai

from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from procos.settings import load_settings
from tasks.ai.ai_query import AiQueryInput, ai_query
from tasks.context import TaskContext
from tests.benchmarks.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTION = "What is six times seven, and why is it always that?"
MODEL = "gpt-4o-mini"
MOST_MILLISECONDS = 5.0
WARM_UP = 20


def measure(url: str, redis_url: str, *, rounds: int, calls: int) -> list[Row]:
    """Return one row for each bare client that ours is compared with."""
    ways = {"ours": _ours(url, redis_url), "whole": _whole(url), "stream": _stream(url)}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for ask in ways.values():
        _milliseconds(ask, WARM_UP)
    for _ in range(rounds):
        for name, ask in ways.items():
            spent[name].append(_milliseconds(ask, calls))
    medians = {name: statistics.median(each) for name, each in spent.items()}
    return [
        Row(
            measure=f"CPU of ai_query over the bare client, {words}",
            figure=medians["ours"] - medians[name],
            unit="ms a call",
            bound=MOST_MILLISECONDS,
            details=f"{medians['ours']:.2f} against {medians[name]:.2f} ms, {rounds} rounds of {calls} calls",
        )
        for name, words in (("whole", "asked for the whole"), ("stream", "asked for a stream"))
    ]


def _milliseconds(ask: Callable[[int], object], calls: int) -> float:
    began = time.process_time()
    for number in range(calls):
        ask(number)
    return (time.process_time() - began) * 1000 / calls


def _ours(url: str, redis_url: str) -> Callable[[int], object]:
    settings = load_settings(
        {
            "PROCOS_OPENAI_API_KEY": "key",
            "PROCOS_OPENAI_BASE_URL": url,
            "PROCOS_OPENAI_MODEL": MODEL,
            "PROCOS_OPENAI_REQUESTS_PER_MINUTE": "1000000",
            "PROCOS_OPENAI_TOKENS_PER_MINUTE": "1000000000",
            "PROCOS_AI_BUDGET_DAY": "1000000",
            "PROCOS_REDIS_URL": redis_url,
        },
        dotenv=None,
    )
    asked = iter(range(10**9))

    def ask(_: int) -> object:
        step = f"bench-{next(asked)}"
        context = TaskContext(
            external_task_id=ExternalTaskId(step),
            process_instance_id=ProcessInstanceId(step),
            business_key=None,
            topic=Topic("ai_query"),
            celery_id=step,
            settings=settings,
            deadline=time.monotonic() + 60,
        )
        return ai_query(AiQueryInput(user_query=QUESTION, provider="openai"), context)

    return ask


def _whole(url: str) -> Callable[[int], object]:
    client = openai.OpenAI(base_url=url, api_key="key", max_retries=0)

    def ask(_: int) -> object:
        answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": QUESTION}])
        return answer.choices[0].message.content

    return ask


def _stream(url: str) -> Callable[[int], object]:
    client = openai.OpenAI(base_url=url, api_key="key", max_retries=0)

    def ask(_: int) -> object:
        said = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in said if chunk.choices)

    return ask
