"""Topic `provider_selection`: says which AI provider shall answer a question, which others could, and why.

The choice is the rule of `tasks.ai.selection`, or the table of PROCOS_AI_POLICY, over what is configured. Running it
twice is harmless: it only looks.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from procos.logs import get_logger
from tasks.ai.choosing import select_provider
from tasks.ai.providers.lookout import checked
from tasks.task import TaskContext, process_task

log = get_logger(__name__)


def _listed(needs: object) -> object:
    """Read what a person wrote into a field of the Modeler, which makes a text of it."""
    return [each.strip() for each in needs.split(",") if each.strip()] if isinstance(needs, str) else needs


Needs = Annotated[list[Literal["json", "tools"]], BeforeValidator(_listed)]


class ProviderSelectionInput(BaseModel):
    """The question, how complex it is said to be, and what it needs a provider to take."""

    user_query: str
    complexity_score: float = Field(0.0, ge=0, le=1)
    needs: Needs = Field(default_factory=list, description="json, tools, or both, separated by a comma")


class ProviderSelectionOutput(BaseModel):
    """The provider's name, the reason in words, and how all providers stand for this question."""

    selected_provider: str
    selection_reason: str
    ranked_providers: list[str]
    scores: dict[str, float]


@process_task(topic="provider_selection")
def provider_selection(question: ProviderSelectionInput, context: TaskContext) -> ProviderSelectionOutput:
    """Choose the provider for a question.

    Raises:
        PermanentError: there is none, and the message names what to configure; or the policy table is wrong.
    """
    with checked(context.raise_if_cancelled):
        choice = select_provider(question.user_query, question.complexity_score, context.settings, needs=question.needs)
    log.info("ai.provider_selected", provider=choice.provider, reason=choice.reason)
    return ProviderSelectionOutput(
        selected_provider=choice.provider,
        selection_reason=choice.reason,
        ranked_providers=list(choice.ranked),
        scores=dict(choice.scores),
    )
