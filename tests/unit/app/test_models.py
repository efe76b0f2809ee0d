"""What keeps a model from being deployed, and what is worth a word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import ModelError
from procos.domain.external_task import Topic
from procos.models import read_model
from procos.routes import ROUTES, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.models import Model

SAMPLE = Path(__file__).parents[2] / "samples" / "models" / "sample_noop.bpmn"
SHAPING = Topic("data_transformation")
GREETING = {
    Topic("greet"): Route(task_name="greet", queue="generic", module="greet", errors=("RUDE",)),
    SHAPING: Route(task_name="shape", queue="generic", module="shape"),
}
MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="t">
  <bpmn:process id="greeting" isExecutable="true"{process}>
    <bpmn:serviceTask id="greet" camunda:type="external"{task}>
      {inside}
    </bpmn:serviceTask>
    {beside}
  </bpmn:process>
  {below}
</bpmn:definitions>
"""
KEPT, TOPIC = ' camunda:historyTimeToLive="P30D"', ' camunda:topic="greet"'
RETRIES = """<bpmn:extensionElements><camunda:properties>
        <camunda:property name="RETRY_CONFIG" value="{value}"/>
      </camunda:properties></bpmn:extensionElements>"""
MAPPING = RETRIES.replace("RETRY_CONFIG", "{name}")
CATCH = """<bpmn:boundaryEvent id="rude" attachedToRef="greet">
      <bpmn:errorEventDefinition errorRef="error_rude"/>
    </bpmn:boundaryEvent>"""
THROW = '<bpmn:endEvent id="rude_end"><bpmn:errorEventDefinition errorRef="error_rude"/></bpmn:endEvent>'
ERROR = '<bpmn:error id="error_rude" errorCode="RUDE"/>'


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Model]:
    """Write a model with these parts, and check it."""

    def written(**parts: str) -> Model:
        whole = {"process": KEPT, "task": TOPIC, "inside": "", "beside": CATCH, "below": ERROR} | parts
        file = tmp_path / "greeting.bpmn"
        file.write_text(parts.get("text") or MODEL.format(**whole), "utf-8")
        return read_model(file, routes=GREETING)

    return written


def refusal(check: Callable[..., Model], **parts: str) -> ModelError:
    with pytest.raises(ModelError) as refused:
        check(**parts)
    return refused.value


class TestModel:
    def test_is_named_after_its_folder_also_from_inside_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served = {Topic("sample_noop"): ROUTES[Topic("input_validation")]}
        folder = tmp_path / "greeting"
        folder.mkdir()
        (folder / "model.bpmn").write_bytes(SAMPLE.read_bytes())
        monkeypatch.chdir(folder)
        assert read_model(Path("model.bpmn"), routes=served).name == "greeting"
        assert read_model(folder / "model.bpmn", routes=served).name == "greeting"

    def test_without_fault_has_its_keys_and_topics(self, check: Callable[..., Model]) -> None:
        model = check()
        assert (model.keys, model.topics, model.remarks) == (("greeting",), ("greet",), ())


class TestFault:
    @pytest.mark.parametrize(
        ("parts", "line", "element", "said"),
        [
            pytest.param({"task": ""}, 5, "greet", "without a topic", id="no-topic"),
            pytest.param({"task": ' camunda:topic="gret"'}, 5, "greet",
                         "no route serves topic 'gret'; known: data_transformation, greet", id="unknown-topic"),
            pytest.param({"inside": RETRIES.format(value="R3/soon")}, 7, "greet", "RETRY_CONFIG", id="retries"),
            pytest.param({"inside": MAPPING.format(name="resultVariable", value="two words")}, 7, "greet",
                         "resultVariable is 'two words', expected at most 255 letters", id="result-variable"),
            pytest.param({"inside": MAPPING.format(name="resultExpression", value="{ 'a': }")}, 7, "greet",
                         "resultExpression does not parse", id="result-expression"),
            pytest.param({"inside": MAPPING.format(name="resultExpression", value="1" * 10_001)}, 7, "greet",
                         "resultExpression has 10001 characters", id="long-expression"),
            pytest.param({"inside": MAPPING.format(name="errorExpression", value="")}, 7, "greet",
                         "errorExpression is empty", id="error-expression"),
            pytest.param({"process": ' camunda:historyTimeToLive="a month"'}, 4, "greeting", "expected days",
                         id="history"),
            pytest.param({"beside": THROW, "below": '<bpmn:error id="error_rude"/>'}, 8, "rude_end", "has no errorCode",
                         id="no-code"),
        ],
    )  # fmt: skip
    def test_is_told_with_line_and_element(
        self, check: Callable[..., Model], parts: dict[str, str], line: int, element: str, said: str
    ) -> None:
        found = refusal(check, **parts)
        assert said in str(found)
        assert (found.line, found.element) == (line, element)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("<a>", "not well-formed XML"),
            ("<a/>", "the root is <a>"),
            (MODEL.format(process="", task="", inside="", beside="", below="").replace("true", "false"), "executable"),
        ],
        ids=["broken", "no-bpmn", "not-executable"],
    )
    def test_may_be_the_file_itself(self, check: Callable[..., Model], text: str, said: str) -> None:
        assert said in str(refusal(check, text=text))

    def test_comes_with_all_others_at_once(self, check: Callable[..., Model]) -> None:
        found = refusal(check, task="", process=' camunda:historyTimeToLive="x"')
        assert len(found.further) == 1
        assert "without a topic" in str(found)
        assert "expected days" in str(found)


class TestRemark:
    @pytest.mark.parametrize(
        ("parts", "said"),
        [
            pytest.param({"process": ""}, "no camunda:historyTimeToLive", id="history"),
            pytest.param({"beside": ""}, "nothing here catches RUDE", id="uncaught"),
            pytest.param({"process": ' camunda:historyTimeToLive=""'}, "no camunda:historyTimeToLive", id="empty"),
            pytest.param({"inside": MAPPING.format(name="errorExpression", value="$bpmnError('GONE')")},
                         "nothing here catches GONE, which its errorExpression throws", id="thrown"),
        ],
    )  # fmt: skip
    def test_keeps_nothing_from_being_deployed(
        self, check: Callable[..., Model], parts: dict[str, str], said: str
    ) -> None:
        remarks = check(**parts).remarks
        assert any(said in str(remark) for remark in remarks)
        assert all(remark.line for remark in remarks)

    @pytest.mark.parametrize(
        ("catch", "below"),
        [
            (CATCH.replace(' errorRef="error_rude"', ""), ""),
            (CATCH, '<bpmn:error id="error_rude"/>'),
            (CATCH.replace("error_rude", "RUDE"), ""),
        ],
        ids=["any-error", "error-without-code", "code-itself"],
    )
    def test_is_not_made_of_an_error_that_the_engine_would_catch(
        self, check: Callable[..., Model], catch: str, below: str
    ) -> None:
        assert check(beside=catch, below=below).remarks == ()

    @pytest.mark.parametrize("expression", ["$bpmnError('RUDE')", "$bpmnError(error.code)", "$ignoreError()"])
    def test_is_not_made_of_a_code_that_is_caught_or_computed(
        self, check: Callable[..., Model], expression: str
    ) -> None:
        assert check(inside=MAPPING.format(name="errorExpression", value=expression)).remarks == ()

    @pytest.mark.parametrize(
        ("expression", "count"),
        [("$ignoreError()", 0), (" $jobError('later')", 0), ("error.code = 'RUDE' ? $ignoreError()", 1)],
    )
    def test_is_not_made_where_every_error_takes_another_way(
        self, check: Callable[..., Model], expression: str, count: int
    ) -> None:
        inside = MAPPING.format(name="errorExpression", value=expression)
        assert len(check(inside=inside, beside="").remarks) == count

    @pytest.mark.parametrize("topic", ["${topic}", "#{topic}"])
    def test_is_not_made_of_a_topic_that_is_chosen_later(self, check: Callable[..., Model], topic: str) -> None:
        assert check(task=f' camunda:topic="{topic}"').topics == (topic,)


class TestTransformation:
    INPUTS = "<bpmn:extensionElements><camunda:inputOutput>{}</camunda:inputOutput></bpmn:extensionElements>"
    INPUT = '<camunda:inputParameter name="{}">{}</camunda:inputParameter>'

    def inside(self, **inputs: str) -> dict[str, str]:
        found = "".join(self.INPUT.format(name, value) for name, value in inputs.items())
        return {"task": f' camunda:topic="{SHAPING}"', "inside": self.INPUTS.format(found)}

    def test_has_its_expression_read(self, check: Callable[..., Model]) -> None:
        found = refusal(check, **self.inside(expression="[1"))
        assert "expression does not parse: " in str(found)
        assert (found.line, found.element) == (6, "greet")

    @pytest.mark.parametrize(
        ("template", "said"),
        [
            ("a\n{% if %}", "template is wrong: line 2: "),
            ("{{ a.upper() }}", "template is wrong: line 1: call is not allowed"),
            ("x" * 10_001, "template has 10001 characters, at most 10000 are read"),
        ],
        ids=["broken", "refused", "long"],
    )
    def test_has_its_template_read(self, check: Callable[..., Model], template: str, said: str) -> None:
        found = refusal(check, **self.inside(language="jinja", template=template))
        assert said in str(found)
        assert (found.line, found.element) == (6, "greet")

    def test_may_be_a_template(self, check: Callable[..., Model]) -> None:
        assert check(**self.inside(language="jinja", template="{{ a }}")).remarks == ()

    @pytest.mark.parametrize(
        "inputs",
        [
            {},
            {"expression": "${expression}"},
            {"expression": "<camunda:script scriptFormat='groovy'>x</camunda:script>"},
            {"language": "jinja", "expression": "1"},
        ],
        ids=["missing", "computed", "script", "other-language"],
    )
    def test_that_anybody_may_write_is_remarked_on(self, check: Callable[..., Model], inputs: dict[str, str]) -> None:
        (remark,) = check(**self.inside(**inputs)).remarks
        assert "is no constant: whoever writes that variable computes with all the data of this step" in str(remark)
