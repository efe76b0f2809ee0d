"""How the sample package tests its tasks and its model: with the fixtures ProcOS brings, and without any service."""

from pathlib import Path

from procos.testing import FakeEngine, StepRunner, model_steps

MODEL = Path("models/sample_values.bpmn")
MAPPED = Path("models/sample_mapping.bpmn")


def test_gives_every_variable_back(procos_steps: StepRunner) -> None:
    result = procos_steps.run("sample_values", colour="red", sizes=[1, 2])
    assert result.verdict == "completed"
    assert result.variables == {"colour_back": "red", "sizes_back": [1, 2]}


def test_is_tried_again_until_it_succeeds(procos_steps: StepRunner, tmp_path: Path) -> None:
    result = procos_steps.run("sample_fail", error="twice", effects_file=str(tmp_path / "effects"))
    assert result.verdict == "completed"
    assert len(result.outcomes) == 3


def test_waits_for_a_person_when_every_try_fails(
    procos_steps: StepRunner, procos_engine: FakeEngine, tmp_path: Path
) -> None:
    result = procos_steps.run("sample_fail", effects_file=str(tmp_path / "effects"))
    assert (result.verdict, result.incident) == ("incident", "not this time")
    assert [failure.retries for failure in procos_engine.failures] == [2, 1, 0]


def test_throws_an_error_a_boundary_event_may_catch(procos_steps: StepRunner, tmp_path: Path) -> None:
    given = {"error": "business", "effects_file": str(tmp_path / "effects")}
    assert procos_steps.run("sample_fail", given, catches=["OUT_OF_STOCK"]).error_code == "OUT_OF_STOCK"
    assert "was not caught" in procos_steps.run("sample_fail", given).incident


def test_completes_once_though_the_engine_drops_the_connection(
    procos_steps: StepRunner, procos_engine: FakeEngine
) -> None:
    procos_engine.lose_answer_of_next(2)
    assert procos_steps.run("sample_noop").verdict == "completed"


def test_serves_every_step_of_the_model(procos_steps: StepRunner) -> None:
    verdicts = {name: procos_steps.run(step, colour="red").verdict for name, step in model_steps(MODEL).items()}
    assert verdicts == {"step": "completed"}


def test_names_the_result_as_the_model_says(procos_steps: StepRunner) -> None:
    result = procos_steps.run(model_steps(MAPPED)["values"], colour="red", sizes=[1, 2])
    assert (result.variables["colour"], result.variables["count"]) == ("red", 2)


def test_sends_an_error_the_way_the_model_says(procos_steps: StepRunner, tmp_path: Path) -> None:
    result = procos_steps.run(model_steps(MAPPED)["fail"], error="business", effects_file=str(tmp_path / "effects"))
    assert (result.verdict, result.error_code) == ("bpmn_error", "NOT_AVAILABLE")
