"""What a question is like, in numbers: how long, how complex, how much of it code, and what it needs of a provider.

Everything follows from the text and from what the step says, so that the same question always goes the same way.
`tasks.ai.providers` measures, `tasks.ai.selection` decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.ai.tokens import estimate_tokens

FENCE = "```"
LOOKED_AT = 300
"""Characters of a line by which it is judged."""
MOST_LINES = 1000
"""Lines by which a text is judged."""
CODE_LINE = re.compile(
    r"[;{}]\s*$"  # C, Java, JavaScript and their like
    r"|^\s*(?:def|class|import|from|return|elif|func|function|const|let|var|public|private|static|package|using)\s+\w"
    r"|^\s*(?:if|for|while|switch|catch)\s*\("
    r"|^\s*(?:#include|#!|//|/\*|<\?|</?\w+[ >/])"
    r"|^\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER)\s"
    r"|^\s*[\w.\[\]]+\s*(?:=|:=|\+=)\s*\S|=>|->|\w\(\w*\)\s*:?$"
)
CODE_BEGINS_SENTENCE = re.compile(r"^\s*(?:from|let|using|class|return|import)\s[^=({]*[.,?!]\s*$", re.IGNORECASE)
"""What begins like code, and is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A question in numbers; `tokens` and `context` are estimates, rather too high than too low."""

    characters: int
    tokens: int
    complexity: float
    """What the step says of it, 0 to 1."""
    code_share: float
    """How many of its lines look like code, 0 to 1."""
    needs_json: bool = False
    needs_tools: bool = False
    answer_tokens: int = 0

    @property
    def context(self) -> int:
        """Tokens of question and answer together."""
        return self.tokens + self.answer_tokens


def features_of(
    question: str,
    *,
    complexity: float = 0.0,
    needs_json: bool = False,
    needs_tools: bool = False,
    answer_tokens: int = 0,
) -> Features:
    """Measure a question."""
    return Features(
        characters=len(question),
        tokens=estimate_tokens(question),
        complexity=complexity,
        code_share=round(code_share(question), 2),
        needs_json=needs_json,
        needs_tools=needs_tools,
        answer_tokens=answer_tokens,
    )


def code_share(text: str) -> float:
    """Return how many of the lines that are not blank stand in a code fence or look like code, 0 to 1."""
    lines = code = 0
    is_fenced = False
    for line in text.split("\n"):
        if line.lstrip().startswith(FENCE):
            is_fenced = not is_fenced
        elif line.strip() and lines < MOST_LINES:
            lines += 1
            code += is_fenced or _looks_like_code(line[:LOOKED_AT])
    return code / lines if lines else 0.0


def _looks_like_code(line: str) -> bool:
    return CODE_LINE.search(line) is not None and CODE_BEGINS_SENTENCE.search(line) is None
