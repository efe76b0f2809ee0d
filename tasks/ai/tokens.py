"""Estimates how many tokens a text is, without any model's own table; rather too many than too few.

Tables differ by model and are fetched from the network, while what the estimate is for (does it fit, may it cost that
much, is there headroom) bears to be wrong by half. So characters are weighed by their script. English words and the
names in code cost less than words of other languages in Latin letters, which the tables hold fewer of; digits cost one
each, as several tables have it. The weights were fitted to texts in forty languages and kinds of code, counted with the
tables of GPT-4o, Llama 3, Qwen 3 and Gemma 3: no text that people write came out lower than the highest of the four.
Providers' adapters and `tasks.ai.question_features` call this.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.ai.conversation import Question

PER_MESSAGE = 8
"""Tokens that say who speaks, where a message begins and where it ends."""
LETTERS_PER_TOKEN = 4
CAPITALS_PER_TOKEN = 3
PER_LETTER_AFTER_THREE = 0.55
"""What a letter costs, after the third of a word, in a language the tables hold less of."""
PER_ACCENT = 0.8
BLANKS_PER_TOKEN = 16
ENGLISH = frozenset({"the", "and", "of", "to", "that", "with", "for", "this", "is", "are", "have"})
LEAST_ENGLISH = 0.08
"""The share of such words by which a text is taken for English."""
LEAST_SYMBOLS = 0.1
"""Symbols for each letter by which a text is taken for code or data."""
ACCENTED = re.compile("[\u00c0-\u024f\u1e00-\u1eff]")
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
DIGIT = re.compile(r"[0-9]| (?=[0-9])")
SYMBOLS = re.compile(r"[!-/:-@\[-`{-~]+")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
BLANKS = re.compile(r"\n+|[ \t\r]{2,}")
OTHER = re.compile(r"[^\x00-\x7f]")
SCRIPTS = (
    (0x0080, 1.0),  # signs of Latin-1
    (0x0250, 2.0),  # phonetic signs
    (0x0370, 1.1),  # Greek
    (0x0400, 0.65),  # Cyrillic
    (0x0530, 2.0),  # Armenian
    (0x0590, 1.2),  # Hebrew
    (0x0600, 0.95),  # Arabic
    (0x0700, 2.0),
    (0x0900, 1.25),  # Devanagari
    (0x0980, 1.6),  # other scripts of India
    (0x0E00, 1.0),  # Thai
    (0x0E80, 2.3),  # Lao, Tibetan, Burmese, Georgian
    (0x1200, 3.0),  # Ethiopic and others
    (0x1780, 1.9),  # Khmer
    (0x1800, 3.0),
    (0x2000, 1.0),  # punctuation
    (0x2070, 1.5),  # signs, arrows, frames
    (0x2E80, 1.1),  # Han, Kana, and their punctuation
    (0xA000, 3.0),
    (0xAC00, 1.35),  # Hangul
    (0xD800, 3.0),
    (0xFF00, 1.1),  # full width
    (0xFFF0, 3.0),
    (0x10000, 3.0),  # emoji, rare scripts
)
"""Where ranges of characters begin, and how many tokens each of these is."""
BEGINS = [begin for begin, _ in SCRIPTS]


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text is."""
    if not text:
        return 0
    others = 0.0
    if not text.isascii():
        text, accents = ACCENTED.subn("a", text)
        others = accents * PER_ACCENT
        others += sum(_weight(character) * count for character, count in Counter(OTHER.findall(text)).items())
        text = OTHER.sub("", text)
    symbols = SYMBOLS.findall(text)
    blanks = sum(1 + (len(run) - 1) // BLANKS_PER_TOKEN for run in BLANKS.findall(text))
    signs = sum((len(run) + 1) // 2 for run in symbols) + len(DIGIT.findall(text)) + len(CONTROL.findall(text))
    words = Counter(WORD.findall(text))
    return max(1, math.ceil(_cost_of_words(words, sum(map(len, symbols))) + signs + blanks + others))


def estimate_question(question: Question, estimate: Callable[[str], int] = estimate_tokens) -> int:
    """Return about how many tokens a question is with all that travels with it: its roles, its tools, its schema.

    `estimate` is a provider's own way to estimate a text, where it has one.
    """
    texts = [message.content for message in question.messages]
    texts += [call.arguments for message in question.messages for call in message.tool_calls]
    texts += [f"{tool.name} {tool.description} {json.dumps(dict(tool.parameters))}" for tool in question.tools]
    texts += [json.dumps(dict(question.json_schema))] if question.json_schema is not None else []
    return sum(map(estimate, texts)) + PER_MESSAGE * (len(question.messages) + len(question.tools))


def _cost_of_words(words: Counter[str], symbols: int) -> float:
    letters = sum(len(word) * count for word, count in words.items())
    english = sum(count for word, count in words.items() if word.lower() in ENGLISH)
    is_known = english >= LEAST_ENGLISH * words.total() or symbols >= LEAST_SYMBOLS * letters
    cost = _cost if is_known else _cost_elsewhere
    return sum(cost(word) * count for word, count in words.items())


def _cost(word: str) -> float:
    return math.ceil(len(word) / (CAPITALS_PER_TOKEN if word.isupper() else LETTERS_PER_TOKEN))


def _cost_elsewhere(word: str) -> float:
    return 1 + max(0, len(word) - 3) * PER_LETTER_AFTER_THREE


def _weight(character: str) -> float:
    return SCRIPTS[bisect_right(BEGINS, ord(character)) - 1][1]
