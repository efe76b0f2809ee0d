"""Which prompt templates there are, and what their files may say."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import PermanentError
from procos.settings import load_settings
from tasks.ai.prompts.library import SHIPPED, Library, library
from tasks.ai.prompts.rendering import filled
from tasks.ai.prompts.template import LARGEST_TEMPLATE, read_template

if TYPE_CHECKING:
    from pathlib import Path

HEAD = '+++\ndescription = "Greets."\n\n[variables.name]\ndescription = "Who."\n+++\n'
BODY = "{% block user %}\nHello {{ name }}!\n{% endblock %}\n"
OF_EACH_KIND = {"text": "some text", "number": 7, "list": ["one", "two"], "boolean": True, "object": {"a": 1}}


def own(folder: Path, **files: str) -> Library:
    for name, content in files.items():
        (folder / f"{name}.md.j2").write_text(content)
    return library(load_settings({"PROCOS_AI_TEMPLATES": str(folder)}, dotenv=None).ai)


def refusal(content: bytes) -> str:
    with pytest.raises(PermanentError, match=r"^prompt template 'greeting': ") as raised:
        read_template("greeting", content)
    assert raised.value.code == "TEMPLATE"
    return str(raised.value)


class TestShipped:
    def test_are_there(self) -> None:
        assert library(load_settings({}, dotenv=None).ai).names() == [
            "classification",
            "code_analysis",
            "summarization",
            "text_extraction",
        ]

    @pytest.mark.parametrize("name", Library(folders=(SHIPPED,)).names())
    def test_can_be_filled_with_and_without_what_may_be_missing(self, name: str) -> None:
        template = Library(folders=(SHIPPED,)).template(name)
        every = {each: OF_EACH_KIND[variable.type] for each, variable in template.head.variables.items()}
        needed = {each: every[each] for each, variable in template.head.variables.items() if variable.must_be_given}
        for variables in (every, needed):
            prompt = filled(template, variables, key="task-1")
            assert all(message.content and "{%" not in message.content for message in prompt.messages)

    def test_hand_over_what_strangers_wrote_in_a_fence(self) -> None:
        for name in Library(folders=(SHIPPED,)).names():
            head = Library(folders=(SHIPPED,)).template(name).head
            assert any(variable.untrusted for variable in head.variables.values())


class TestLibrary:
    def test_prefers_the_templates_of_the_installation(self, tmp_path: Path) -> None:
        found = own(tmp_path, summarization=HEAD + BODY, greeting=HEAD + BODY)
        assert found.names() == ["classification", "code_analysis", "greeting", "summarization", "text_extraction"]
        assert found.template("summarization").head.description == "Greets."

    def test_reads_a_changed_file_anew(self, tmp_path: Path) -> None:
        first = own(tmp_path, greeting=HEAD + BODY).template("greeting")
        second = own(tmp_path, greeting=HEAD + BODY + "\n").template("greeting")
        assert first.version == hashlib.sha256((HEAD + BODY).encode()).hexdigest()[:12]
        assert second.version != first.version

    def test_names_the_known_ones_and_the_nearest(self) -> None:
        with pytest.raises(PermanentError) as raised:
            Library(folders=(SHIPPED,)).template("summarisation")
        assert raised.value.code == "UNKNOWN_TEMPLATE"
        assert str(raised.value) == (
            "no prompt template is named 'summarisation'; known: classification, code_analysis, summarization,"
            " text_extraction; did you mean summarization?"
        )

    @pytest.mark.parametrize(
        "name", ["../summarization", "/etc/passwd", "summarization.md.j2", "Summarization", "", "a" * 65, "a\nb", "a/b"]
    )
    def test_has_no_room_for_paths_in_names(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "summarization.md.j2").write_text(HEAD + BODY)
        folder = tmp_path / "inside"
        folder.mkdir()
        with pytest.raises(PermanentError, match=r"^the name of a prompt template is wrong; known: "):
            Library(folders=(folder,)).template(name)

    def test_passes_over_files_of_other_names(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("")
        assert own(tmp_path, **{"No Name": ""}).names() == Library(folders=(SHIPPED,)).names()

    def test_needs_a_folder_where_one_is_set(self, tmp_path: Path) -> None:
        with pytest.raises(PermanentError, match=r"PROCOS_AI_TEMPLATES is '.*nowhere', which is no folder"):
            own(tmp_path / "nowhere")

    def test_says_that_a_template_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "greeting.md.j2").mkdir()
        with pytest.raises(PermanentError, match="prompt template 'greeting': cannot be read: Is a directory"):
            Library(folders=(tmp_path,)).template("greeting")


class TestReadTemplate:
    def test_reads_what_a_file_says_of_its_variables(self) -> None:
        head = read_template("greeting", (HEAD + BODY).encode()).head
        assert (head.description, head.variables["name"].description) == ("Greets.", "Who.")
        assert head.variables["name"].must_be_given

    def test_takes_line_breaks_of_any_kind(self) -> None:
        template = read_template("greeting", (HEAD + BODY).replace("\n", "\r\n").encode())
        assert filled(template, {"name": "Ann"}, key="").messages[0].content == "Hello Ann!"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "expected a head between two lines +++, the first of them line 1"),
            (BODY.encode(), "expected a head between two lines +++"),
            (b"+++\ndescription = 1", "expected a head between two lines +++"),
            (b"+++\ndescription =\n+++\n", "the head is not TOML: Invalid value (at line 2, column 14)"),
            (b"+++\n+++\n", "description: Field required"),
            (b'+++\ndescription = ""\nauthor = "me"\n+++\n', "author: Extra inputs are not permitted"),
            (
                b'+++\ndescription = ""\n[variables.loop]\ndescription = ""\n+++',
                "variables.loop: Value error, expected",
            ),
            (b'+++\ndescription = ""\n[variables.A]\ndescription = ""\n+++', "variables.A: Value error, expected"),
            (b'+++\ndescription = ""\n[variables.a]\ntype = "text"\n+++', "variables.a.description: Field required"),
            (b'+++\ndescription = ""\none_of = "labels"\n+++', "one_of names 'labels', expected a list that is given"),
            (b"+++\n\xff\n+++\n", "is not UTF-8"),
            (b"x" * (LARGEST_TEMPLATE + 1), f"is larger than {LARGEST_TEMPLATE} bytes"),
        ],
        ids=range(12),
    )
    def test_says_what_is_wrong_with_a_file(self, content: bytes, reason: str) -> None:
        assert reason in refusal(content)
