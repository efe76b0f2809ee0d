"""Topic `provider_selection`: says which AI provider shall answer a question, and why.

The choice is the rule of `tasks.ai.selection` over what is configured. Running it twice is harmless: it only looks.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from procos.logs import get_logger
from tasks.ai.choosing import select_provider
from tasks.task import TaskContext, process_task

log = get_logger(__name__)


class ProviderSelectionInput(BaseModel):
    """The question, and how complex it is said to be."""

    user_query: str
    complexity_score: float = Field(0.0, ge=0, le=1)


class ProviderSelectionOutput(BaseModel):
    """The provider's name, and the reason in words."""

    selected_provider: str
    selection_reason: str


@process_task(topic="provider_selection")
def provider_selection(question: ProviderSelectionInput, context: TaskContext) -> ProviderSelectionOutput:
    """Choose the provider for a question.

    Raises:
        PermanentError: there is none; the message names what to configure.
    """
    choice = select_provider(question.user_query, question.complexity_score, context.settings)
    log.info("ai.provider_selected", provider=choice.provider, reason=choice.reason)
    return ProviderSelectionOutput(selected_provider=choice.provider, selection_reason=choice.reason)
