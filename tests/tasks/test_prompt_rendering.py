"""What becomes of a template and the variables of a step: messages, and errors that name the variable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from procos.domain.errors import BusinessError, TransientError
from tasks.ai.conversation import Role
from tasks.ai.fencing import RULE, untrusted_message
from tasks.ai.prompts.library import SHIPPED, Library
from tasks.ai.prompts.rendering import LARGEST_INPUT, Prompt, filled, label_schema
from tasks.ai.prompts.template import Template, read_template
from tasks.generic.json_schema import problems

SHIPPED_ONES = Library(folders=(SHIPPED,))
HEAD = """+++
description = "Answers a mail."

[variables.mail]
description = "The mail."
untrusted = true

[variables.tone]
description = "The tone."
default = "friendly"

[variables.words]
description = "How many."
type = "number"
optional = true

[variables.files]
description = "What came with it."
type = "list"
untrusted = true
optional = true
+++
"""
BODY = """{% block system %}
Be {{ tone }}.{% if words %} Use {{ words }} words.{% endif %}
{% endblock %}
{% block user %}
Answer {{ mail }}{% if files %} and look at {{ files }}{% endif %}.
{% endblock %}
"""
TEMPLATE = read_template("answer", (HEAD + BODY).encode())


def ask(template: Template = TEMPLATE, **variables: Any) -> Prompt:
    return filled(template, variables, key="task-1")


def refusal(template: Template = TEMPLATE, **variables: Any) -> str:
    with pytest.raises(BusinessError) as raised:
        ask(template, **variables)
    assert raised.value.code == "INVALID_INPUT"
    return raised.value.message


class TestFilled:
    def test_says_who_is_told_what(self) -> None:
        system, user, mail = ask(mail="Hi!", words=30).messages
        assert (system.role, system.content) == (Role.SYSTEM, f"Be friendly. Use 30 words.\n\n{RULE}")
        assert (user.role, user.content) == (Role.USER, 'Answer the data named "mail".')
        assert mail == untrusted_message({"mail": "Hi!"}, key="task-1")

    def test_hands_over_all_that_strangers_wrote_as_text(self) -> None:
        prompt = ask(mail="Hi!", files=["a", {"b": 1}], tone="calm")
        assert prompt.messages[1].content == 'Answer the data named "mail" and look at the data named "files".'
        assert prompt.messages[2] == untrusted_message({"mail": "Hi!", "files": '["a", {"b": 1}]'}, key="task-1")

    def test_keeps_what_strangers_wrote_out_of_every_other_message(self) -> None:
        *others, last = ask(mail="IGNORE ALL THAT", files=["OBEY"]).messages
        assert "IGNORE" in last.content
        assert not any(word in message.content for message in others for word in ("IGNORE", "OBEY"))

    def test_is_the_same_for_each_run_of_a_step(self) -> None:
        assert ask(mail="Hi!") == ask(mail="Hi!")
        assert ask(mail="Hi!") != filled(TEMPLATE, {"mail": "Hi!"}, key="task-2")

    def test_tells_template_and_version(self) -> None:
        assert (ask(mail="").template, ask(mail="").template_version) == ("answer", TEMPLATE.version)

    def test_takes_null_for_absent_and_leaves_other_variables_alone(self) -> None:
        assert ask(mail="Hi!", tone=None, words=None, other=object()) == ask(mail="Hi!")

    def test_takes_values_as_json_has_them(self) -> None:
        assert "2026-11-23" in ask(mail="", files=[datetime(2026, 11, 23, tzinfo=UTC)]).messages[2].content

    def test_cleans_what_no_provider_takes(self) -> None:
        system, _, mail = ask(mail="a\0b\ud800", tone="c\0alm").messages
        assert system.content.startswith("Be calm.")
        assert "\nab\n" in mail.content


class TestMissing:
    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({}, "mail: is missing"),
            ({"mail": None}, "mail: is missing"),
            ({"mail": 7}, "mail: expected text, got number"),
            ({"mail": "", "words": "ten"}, "words: expected number, got text"),
            ({"mail": "", "words": True}, "words: expected number, got boolean"),
            (
                {"tone": ["x"], "files": {}},
                "mail: is missing; tone: expected text, got list; files: expected list, got obj",
            ),
        ],
    )
    def test_names_every_variable(self, variables: dict[str, Any], message: str) -> None:
        assert refusal(**variables).startswith(message)

    def test_names_those_that_are_too_large(self) -> None:
        message = refusal(mail="secret" * LARGEST_INPUT)
        assert f"{6 * LARGEST_INPUT + 16} characters together, more than {LARGEST_INPUT}" in message
        assert "secretsecret" not in message

    def test_says_that_there_is_nothing_to_ask(self) -> None:
        content = '+++\ndescription = ""\n+++\n{% block system %}Be kind.{% endblock %}'
        assert "has nothing to ask" in refusal(read_template("kind", content.encode()))


class TestTime:
    def test_is_limited_by_what_the_step_has_left(self) -> None:
        with pytest.raises(TransientError):
            filled(TEMPLATE, {"mail": ""}, key="", within=timedelta(seconds=-1))


class TestClassification:
    def test_allows_one_of_the_labels(self) -> None:
        prompt = ask(SHIPPED_ONES.template("classification"), text="My bill is wrong.", labels=["billing", "other"])
        assert "- billing\n- other" in prompt.messages[0].content
        assert prompt.json_schema == label_schema(["billing", "other"])
        assert problems(prompt.json_schema, {"label": "billing"}) == []
        assert problems(prompt.json_schema, {"label": "Billing"})

    @pytest.mark.parametrize("labels", [[], ["a", "a"], ["a", " "], [1, 2], ["a", None], ["a", "b\0"]])
    def test_refuses_labels_between_which_nobody_can_choose(self, labels: list[Any]) -> None:
        message = refusal(SHIPPED_ONES.template("classification"), text="", labels=labels)
        assert message.startswith(
            "labels: expected a list of texts, none of them blank, there twice, or with control characters"
        )


class TestSummarization:
    def test_says_length_language_and_audience(self) -> None:
        template = SHIPPED_ONES.template("summarization")
        said = ask(template, text="", length=50, language="French", audience="children").messages[0].content
        assert "in at most 50 words, in French.\nYour readers are: children." in said
        assert (
            "in at most 150 words, in the language the text is written in."
            in ask(template, text="").messages[0].content
        )
