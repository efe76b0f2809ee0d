"""Caps of topics, limits they share, and the groups that are fetched by themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from procos import routes as routes_module
from procos.caps import Cap, caps_of, groups
from procos.cli.routes import routes as routes_command
from procos.domain.errors import SettingsError
from procos.domain.external_task import Topic
from procos.routes import Limit, Route, routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CRM = Limit(name="crm", at_once=5)


def route(queue: str = "ai", **options: Any) -> Route:
    return Route(task_name="t", queue=queue, module="m", **options)


TABLE = {
    Topic("free"): route(),
    Topic("read"): route(limits=(CRM,)),
    Topic("write"): route(limits=(CRM,), at_once=2),
    Topic("search"): route(limits=(Limit(name="crm", at_once=5),)),
    Topic("mail"): route("generic", limits=(CRM,)),
}


class TestCapsOf:
    def test_are_the_topics_own_and_those_it_shares(self) -> None:
        crm = Cap(name="limit.crm", at_once=5, queues=("ai", "generic"))
        assert caps_of(TABLE) == {
            "read": (crm,),
            "write": (Cap(name="topic.write", at_once=2, queues=("ai",)), crm),
            "search": (crm,),
            "mail": (crm,),
        }

    def test_are_counted_over_every_queue_the_own_one_first(self) -> None:
        (crm,) = caps_of(TABLE)[Topic("mail")]
        assert crm.pairs("generic") == [
            ("procos:cap:limit.crm:generic", "procos:leases:generic"),
            ("procos:cap:limit.crm:ai", "procos:leases:ai"),
        ]


class TestGroups:
    def test_have_the_same_caps(self) -> None:
        served = {topic: route for topic, route in TABLE.items() if route.queue == "ai"}
        found = groups(served, caps_of(TABLE))
        assert {name: sorted(topics) for name, topics in found.items()} == {
            "": ["free"],
            "limit.crm": ["read", "search"],
            "topic.write+limit.crm": ["write"],
        }
        assert next(iter(found)) == ""

    def test_have_names_that_a_worker_id_may_hold(self) -> None:
        table = {Topic(f"a/b {'long' * 40}"): route(at_once=1)}
        (name,) = groups(table, caps_of(table))
        assert len(name) == 16
        assert "/" not in name
        assert [name] == list(groups(table, caps_of(table)))


class TestRoutes:
    @pytest.fixture
    def install(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
        def install(**table: Route) -> None:
            added = {Topic(name): replace(route, task_name=f"theirs.{name}") for name, route in table.items()}
            entry = SimpleNamespace(name="theirs", load=lambda: added)
            monkeypatch.setattr(routes_module, "entry_points", lambda **_: [entry])

        routes.cache_clear()
        yield install
        routes.cache_clear()

    @pytest.mark.parametrize(
        ("table", "problem"),
        [
            ({"one": route(at_once=0)}, "at_once is 0, expected 1 or more"),
            ({"one": route(limits=(Limit(name="crm", at_once=0),))}, "limit 'crm' of 0"),
            ({"one": route(limits=(Limit(name="", at_once=1),))}, "expected a name"),
            (
                {"one": route(limits=(CRM,)), "two": route("generic", limits=(Limit(name="crm", at_once=6),))},
                "limit 'crm' is 5 in route one and 6 in route two",
            ),
        ],
    )
    def test_refuse_a_cap_that_cannot_be_meant(
        self, install: Callable[..., None], table: dict[str, Route], problem: str
    ) -> None:
        install(**table)
        with pytest.raises(SettingsError, match=problem):
            routes()

    def test_take_a_limit_that_is_the_same_everywhere(self, install: Callable[..., None]) -> None:
        install(one=route(limits=(CRM,)), two=route(limits=(Limit(name="crm", at_once=5),)))
        assert {"one", "two"} <= set(routes())


class TestRoutesCommand:
    def test_shows_the_caps_of_a_topic(self, monkeypatch: pytest.MonkeyPatch) -> None:
        table = {Topic("write"): route(limits=(CRM,), at_once=2), Topic("free"): route()}
        monkeypatch.setattr("procos.cli.routes.route_table", lambda: table)
        told = CliRunner().invoke(routes_command, ["--json"])
        free, write = json.loads(told.stdout)
        assert (free["at_once"], free["limits"]) == (None, {})
        assert (write["at_once"], write["limits"]) == (2, {"crm": 5})
        assert "2 at once, crm 5" in CliRunner().invoke(routes_command).stdout
