"""The keys in Redis of what stands around a call to an AI provider and is shared by all workers.

`tasks.ai` writes them: `limits` the first six, `breaker` the next three, `budgets` what was spent, `kept_answers` the
answers, `declined_parts` what providers decline, `progress` how far a call is. The command line reads the last one, for
`procos status --instance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procos.domain.external_task import ExternalTaskId, ProcessInstanceId

SPENT_ON_DAY = "procos:ai:spent:day:"
"""Before the number of a day since 1970 (UTC): micro-dollars that all requests of that day cost."""
PROGRESS_KEPT_SECONDS = 60
"""How long a call that shows itself no longer is taken to be under way."""


def schedule(provider: str) -> str:
    """Return the key of when a provider's next request, and its next token, fit its limits; a hash."""
    return f"procos:ai:schedule:{provider}"


def reserved(provider: str) -> str:
    """Return the key of the slots of a schedule that steps were promised, by their moment."""
    return f"procos:ai:reserved:{provider}"


def weights(provider: str) -> str:
    """Return the key of what each promised slot takes of the schedule of tokens; a hash."""
    return f"procos:ai:weights:{provider}"


def places(provider: str) -> str:
    """Return the key of the requests that are under way, by the moment each is taken for dead."""
    return f"procos:ai:places:{provider}"


def kept_places(provider: str) -> str:
    """Return the key of the steps for which a place is kept, by the moment from which it is."""
    return f"procos:ai:kept_places:{provider}"


def refused(provider: str) -> str:
    """Return the key that exists as long as a provider has asked to be left alone."""
    return f"procos:ai:refused:{provider}"


def breaker(provider: str) -> str:
    """Return the prefix of the keys in which pybreaker keeps the state of a provider's breaker."""
    return f"procos:ai:breaker:{provider}"


def breaker_rest(provider: str) -> str:
    """Return the key that exists as long as an open breaker lets nobody try."""
    return f"procos:ai:breaker:{provider}:rest"


def breaker_trial(provider: str) -> str:
    """Return the key by which one worker tries for all whether a provider is back."""
    return f"procos:ai:breaker:{provider}:trial"


def spent_by_instance(process_instance_id: ProcessInstanceId | str) -> str:
    """Return the key of the micro-dollars that the requests of a process instance cost."""
    return f"procos:ai:spent:instance:{process_instance_id}"


def answer(external_task_id: ExternalTaskId | str, request: str) -> str:
    """Return the key of the answer that a step was given to a request."""
    return f"procos:ai:answer:{external_task_id}:{request}"


def declined(provider: str, model: str) -> str:
    """Return the key of the parts of a request that a provider has declined for a model; a set."""
    return f"procos:ai:declined:{provider}:{model}"


def progress(external_task_id: ExternalTaskId | str) -> str:
    """Return the key of how far the call is that a step waits for; a hash."""
    return f"procos:ai:progress:{external_task_id}"
