"""docs/prompts.md: its examples work, and its lists are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.ai.policy import policy_from
from tasks.ai.prompts.library import SHIPPED, Library
from tasks.ai.prompts.rendering import filled
from tasks.ai.prompts.template import Variable, read_template
from tasks.templates.filters import FILTERS
from tasks.templates.grammar import LOOP_FACTS, TESTS

TEXT = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")


def listed(beginning: str) -> list[str]:
    """Return the words in code marks of the line that begins so."""
    (line,) = (line for line in TEXT.splitlines() if line.startswith(beginning))
    return re.findall(r"`(\w+)`", line)


class TestPromptsDocument:
    def test_shows_a_template_that_works(self) -> None:
        (example,) = re.findall(r"^```\n(\+\+\+.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
        template = read_template("complaint", example.encode())
        system, complaint = filled(template, {"complaint": "Broken!"}, key="task-1").messages
        assert system.content.startswith("You answer complaints for a shop. Be friendly and short.")
        assert "\nBroken!\n" in complaint.content

    def test_shows_a_policy_that_works(self, tmp_path: Path) -> None:
        (example,) = re.findall(r"^```json\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
        (tmp_path / "policy.json").write_text(example)
        policy = policy_from(tmp_path / "policy.json", known=("openai", "ollama", "mistral"))
        assert [row.name for row in policy.classes] == ["small", "medium", "large"]

    def test_lists_the_shipped_templates_with_their_variables(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", TEXT, flags=re.MULTILINE)
        shipped = Library(folders=(SHIPPED,))
        told = {name: re.findall(r"`(\w+)`(\??)", variables) for name, variables in rows if name in shipped.names()}
        heads = {name: shipped.template(name).head.variables for name in shipped.names()}
        assert told == {
            name: [(each, "" if variable.must_be_given else "?") for each, variable in variables.items()]
            for name, variables in heads.items()
        }

    def test_lists_what_a_template_may_say(self) -> None:
        assert listed("- the filters") == sorted(FILTERS)
        assert listed("- the tests") == list(TESTS)
        assert {"index", "first", "last", "length"} <= LOOP_FACTS

    def test_lists_what_a_head_may_say(self) -> None:
        told = re.findall(r"^\| `variables\.<name>\.(\w+)` \|", TEXT, flags=re.MULTILINE)
        assert told == ["description", "type", "untrusted", "optional", "default"] == list(Variable.model_fields)
