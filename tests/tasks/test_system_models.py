"""The models of the system's own processes: what they read and catch, what starts and ends them, and their diagrams."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lxml import etree

from procos.models import read_model
from procos.request_kinds import SCHEMA
from procos.routes import ROUTES
from procos.shipped import shipped_processes
from tasks.system.error_handling import OPERATORS

NAMES = {
    "bpmn": "http://www.omg.org/spec/BPMN/20100524/MODEL",
    "bpmndi": "http://www.omg.org/spec/BPMN/20100524/DI",
    "dc": "http://www.omg.org/spec/DD/20100524/DC",
    "di": "http://www.omg.org/spec/DD/20100524/DI",
    "camunda": "http://camunda.org/schema/1.0/bpmn",
}
ORCHESTRATOR, SHUTDOWN, REQUEST = "procos_system_orchestrator", "procos_system_shutdown", "procos_user_request"
KEYS = (ORCHESTRATOR, SHUTDOWN, REQUEST)
CAUGHT = {
    ORCHESTRATOR: {("initialize", "INVALID_INPUT"), ("check_health", "INVALID_INPUT")},
    SHUTDOWN: set(),
    REQUEST: {("route_request", "UNKNOWN_REQUEST"), ("route_request", "INVALID_REQUEST"), ("run_process", None)},
}
"""What the steps read of variables somebody else sets; the others are given all they read by the model."""


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: Box) -> bool:
        return (
            self.left <= other.right
            and other.left <= self.right
            and self.top <= other.bottom
            and other.top <= self.bottom
        )

    def has_on_its_border(self, x: float, y: float) -> bool:
        is_within = self.left <= x <= self.right and self.top <= y <= self.bottom
        return is_within and (x in {self.left, self.right} or y in {self.top, self.bottom})


def model(key: str) -> Any:
    return etree.parse(shipped_processes() / key / "model.bpmn")


def found(tree: Any, path: str) -> list[Any]:
    return list(tree.xpath(path, namespaces=NAMES))


def inputs(tree: Any, step: str) -> dict[str, str]:
    return {each.get("name"): each.text for each in found(tree, f"//*[@id='{step}']//camunda:inputParameter")}


def boxes(tree: Any, path: str = ".") -> dict[str, Box]:
    """Return where the nodes are, by their ids; or, with a path, where something of theirs is."""
    parts = [(s.get("bpmnElement"), found(s, f"{path}/dc:Bounds")) for s in found(tree, "//bpmndi:BPMNShape")]
    return {element: box(bounds) for element, found_there in parts for bounds in found_there}


def box(bounds: Any) -> Box:
    x, y, width, height = (float(bounds.get(name)) for name in ("x", "y", "width", "height"))
    return Box(x, y, x + width, y + height)


def waypoints(tree: Any) -> dict[str, list[tuple[float, float]]]:
    edges = found(tree, "//bpmndi:BPMNEdge")
    return {
        edge.get("bpmnElement"): [(float(p.get("x")), float(p.get("y"))) for p in edge.findall("di:waypoint", NAMES)]
        for edge in edges
    }


def lines(points: list[tuple[float, float]]) -> list[Box]:
    return [Box(min(a, c), min(b, d), max(a, c), max(b, d)) for (a, b), (c, d) in pairwise(points)]


@pytest.mark.parametrize("key", KEYS)
class TestEveryModel:
    def test_passes_the_checks_of_deploy_without_a_remark(self, key: str) -> None:
        checked = read_model(shipped_processes() / key / "model.bpmn", routes=ROUTES)
        assert (checked.keys, checked.remarks) == ((key,), ())

    def test_cannot_be_asked_for_by_a_user(self, key: str) -> None:
        assert not (shipped_processes() / key / SCHEMA).exists()

    def test_catches_what_it_may_be_refused_for(self, key: str) -> None:
        tree = model(key)
        codes = {error.get("id"): error.get("errorCode") for error in found(tree, "//bpmn:error")}
        assert CAUGHT[key] == {
            (event.getparent().get("attachedToRef"), codes.get(event.get("errorRef")))
            for event in found(tree, "//bpmn:boundaryEvent/bpmn:errorEventDefinition")
        }

    def test_is_described_with_every_step_and_end(self, key: str) -> None:
        tree, text = model(key), (shipped_processes() / key / "README.md").read_text("utf-8")
        ends = found(tree, "/bpmn:definitions/bpmn:process/bpmn:endEvent/@id")
        assert [end for end in ends if f"`{end}`" not in text] == []
        assert [name for name in found(tree, "//bpmn:serviceTask/@name") if f"| {name} |" not in text] == []

    def test_gives_variables_of_the_starter_a_default(self, key: str) -> None:
        for duration in found(model(key), "//bpmn:timeDuration/text()"):
            assert re.fullmatch(
                r"PT1M|\$\{empty execution\.getVariable\('(\w+)'\) \? 'P\w+' : execution\.getVariable\('\1'\)\}",
                duration,
            )


@pytest.mark.parametrize("key", KEYS)
class TestEveryDiagram:
    def test_draws_every_node_and_every_flow(self, key: str) -> None:
        tree = model(key)
        flows = set(found(tree, "//bpmn:sequenceFlow/@id"))
        inside = "//*[self::bpmn:process or self::bpmn:subProcess]/*[@id][not(self::bpmn:sequenceFlow)]/@id"
        assert set(boxes(tree)) == set(found(tree, inside))
        assert set(waypoints(tree)) == flows

    def test_lets_nothing_overlap(self, key: str) -> None:
        tree = model(key)
        shapes = boxes(tree)
        hosts = {(e.get("id"), e.get("attachedToRef")) for e in found(tree, "//bpmn:boundaryEvent")}
        nested = {(e.get("id"), s.get("id")) for s in found(tree, "//bpmn:subProcess") for e in s.iter() if e is not s}
        apart = [p for p in combinations(shapes, 2) if not {p, p[::-1]} & (hosts | nested)]
        assert [(a, b) for a, b in apart if shapes[a].touches(shapes[b])] == []

    def test_keeps_what_is_within_a_sub_process_inside_it(self, key: str) -> None:
        tree = model(key)
        shapes = boxes(tree)
        for around in found(tree, "//bpmn:subProcess"):
            outer = shapes[around.get("id")]
            for each in (shapes[i] for i in found(around, "*/@id") if i in shapes):
                assert outer.left < each.left
                assert outer.top < each.top
                assert each.right < outer.right
                assert each.bottom < outer.bottom

    def test_joins_flows_to_the_borders_of_their_nodes(self, key: str) -> None:
        tree = model(key)
        shapes, points = boxes(tree), waypoints(tree)
        for flow in found(tree, "//bpmn:sequenceFlow"):
            ends = points[flow.get("id")][0], points[flow.get("id")][-1]
            for node, end in zip((flow.get("sourceRef"), flow.get("targetRef")), ends, strict=True):
                assert shapes[node].has_on_its_border(*end), (flow.get("id"), node)

    def test_leads_no_flow_through_a_node_or_across_another(self, key: str) -> None:
        tree = model(key)
        shapes, points = boxes(tree), waypoints(tree)
        around = set(found(tree, "//bpmn:subProcess/@id"))
        for flow in found(tree, "//bpmn:sequenceFlow"):
            ends = {flow.get("sourceRef"), flow.get("targetRef")}
            others = [box for node, box in shapes.items() if node not in ends | around]
            mine = lines(points[flow.get("id")])
            hosts = found(tree, f"//*[@id='{flow.get('sourceRef')}']/@attachedToRef")
            others = [box for box in others if box not in [shapes[host] for host in hosts]]
            assert not [box for box in others for line in mine if line.touches(box)], flow.get("id")
        for a, b in combinations(found(tree, "//bpmn:sequenceFlow"), 2):
            crossing = [1 for x in lines(points[a.get("id")]) for y in lines(points[b.get("id")]) if x.touches(y)]
            assert not crossing, (a.get("id"), b.get("id"))

    def test_writes_names_where_nothing_else_is(self, key: str) -> None:
        tree = model(key)
        names, shapes = boxes(tree, "bpmndi:BPMNLabel"), boxes(tree)
        solid = {i: box for i, box in shapes.items() if i not in found(tree, "//bpmn:subProcess/@id")}
        for element, name in names.items():
            assert [i for i, box in solid.items() if name.touches(box)] == [], element
            assert [f for f, p in waypoints(tree).items() for line in lines(p) if name.touches(line)] == [], element
        assert [(a, b) for a, b in combinations(names, 2) if names[a].touches(names[b])] == []


class TestOrchestrator:
    def test_reads_its_intervals_from_variables(self) -> None:
        durations = found(model(ORCHESTRATOR), "//bpmn:timeDuration/text()")
        assert [re.findall(r"\('(\w+)'\) \? '(\w+)'", each) for each in durations] == [
            [("health_interval", "PT1M")],
            [("roll_over_after", "P1D")],
        ]

    def test_ends_by_timer_and_signal_wherever_it_is(self) -> None:
        tree = model(ORCHESTRATOR)
        events = found(tree, "//bpmn:process/bpmn:subProcess[@triggeredByEvent='true']/bpmn:startEvent")
        assert [event[-1].tag.rpartition("}")[2] for event in events] == [
            "timerEventDefinition", "signalEventDefinition",
        ]  # fmt: skip
        assert not [event for event in events if event.get("isInterrupting") == "false"]
        assert found(tree, "//bpmn:signal/@name") == ["SystemShutdown"]

    def test_asks_for_all_workers_and_records_troubles_of_the_system(self) -> None:
        tree = model(ORCHESTRATOR)
        assert inputs(tree, "check_workers") == {"action": "start_all"}
        assert inputs(tree, "handle_trouble")["error_source"] == "system"

    def test_tells_the_operators_once_for_each_trouble_whatever_comes_of_it(self) -> None:
        tree = model(ORCHESTRATOR)
        assert inputs(tree, "tell_operators")["audience"] == OPERATORS
        (when,) = found(tree, "//bpmn:sequenceFlow[@id='is_told']/bpmn:conditionExpression/text()")
        assert when == "${notify && consecutive_troubles == 2}"
        (mapping,) = found(tree, "//*[@id='tell_operators']//camunda:property[@name='errorExpression']/@value")
        assert mapping.startswith("$ignoreError(")

    def test_tries_its_steps_again(self) -> None:
        tree = model(ORCHESTRATOR)
        steps = found(tree, "//bpmn:serviceTask/@id")
        retried = found(tree, "//bpmn:serviceTask[.//camunda:property[@name='RETRY_CONFIG']]/@id")
        assert retried == steps


class TestShutdown:
    def test_drains_and_throws_the_signal_the_orchestrator_waits_for(self) -> None:
        tree = model(SHUTDOWN)
        assert inputs(tree, "drain") == {"action": "drain"}
        assert found(tree, "//bpmn:signal/@name") == found(model(ORCHESTRATOR), "//bpmn:signal/@name")
        assert found(tree, "//bpmn:intermediateThrowEvent/bpmn:signalEventDefinition")

    def test_waits_for_nothing_where_it_is_told_so(self) -> None:
        (flow,) = found(model(SHUTDOWN), "//bpmn:sequenceFlow[bpmn:conditionExpression]")
        assert (flow.get("sourceRef"), flow.get("targetRef")) == ("is_to_drain", "time_to_end")
        assert found(flow, "bpmn:conditionExpression/text()") == ["${execution.getVariable('drain') == false}"]

    def test_does_not_wait_for_ever(self) -> None:
        (event,) = found(model(SHUTDOWN), "//bpmn:boundaryEvent[@attachedToRef='drain']")
        assert found(event, "bpmn:timerEventDefinition/bpmn:timeDuration/text()") == ["PT1M"]


class TestUserRequest:
    def test_begins_with_the_message(self) -> None:
        tree = model(REQUEST)
        assert found(tree, "//bpmn:message/@name") == ["UserRequest"]
        assert len(found(tree, "//bpmn:startEvent/bpmn:messageEventDefinition")) == 1

    def test_calls_the_process_it_was_routed_to(self) -> None:
        (call,) = found(model(REQUEST), "//bpmn:callActivity")
        assert call.get("calledElement") == "${process_to_execute}"
        mapped = [dict(each.attrib) for each in found(call, ".//camunda:in | .//camunda:out")]
        assert mapped == [
            {"businessKey": "#{execution.processBusinessKey}"},
            {"variables": "all"},
            {"sourceExpression": "${null}", "target": "request_kind"},
            {"sourceExpression": "${null}", "target": "process_to_execute"},
            {"variables": "all"},
        ]

    def test_keeps_what_is_null_in_the_process_from_coming_back(self) -> None:
        tree = model(REQUEST)
        hidden = found(tree, "//bpmn:callActivity//camunda:in[@sourceExpression='${null}']/@target")
        assert inputs(tree, "run_process") == {name: f"${{{name}}}" for name in hidden}

    def test_says_in_each_end_how_it_went(self) -> None:
        ends = found(model(REQUEST), "//bpmn:endEvent")
        said = {end.get("id"): found(end, ".//camunda:executionListener/@expression") for end in ends}
        assert said == {
            f"request_{word}": [f"${{execution.setVariable('request_status', '{word}')}}"]
            for word in ("answered", "refused", "failed")
        }

    def test_takes_any_bpmn_error_of_the_process_for_a_failure(self) -> None:
        (event,) = found(model(REQUEST), "//bpmn:boundaryEvent[@attachedToRef='run_process']")
        assert found(event, "bpmn:errorEventDefinition/@errorRef") == []
        assert inputs(model(REQUEST), "handle_error")["raise_incident"] == "false"


class TestShipped:
    def test_are_beside_the_packages(self) -> None:
        assert shipped_processes() == Path(__file__).parents[2] / "processes"
