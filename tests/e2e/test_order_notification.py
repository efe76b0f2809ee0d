"""The example process, from its model, against the real parts: every way it can end, and that nothing is done twice."""

from __future__ import annotations

import email
import json
from email import policy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.order_services import OrderServices, order_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.local_stack import LocalStack

KEY = "order_notification"
AUDIENCES = {"operators": [{"connection": "team"}, {"connection": "mail", "to": ["ops@example.org"]}]}
SAMPLE = Path(__file__).parents[2] / "processes" / KEY / "sample.json"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderServices]:
    connections = tmp_path_factory.mktemp("connections")
    with order_services(tmp_path_factory.mktemp("services"), connections) as services:
        yield services


@pytest.fixture(scope="module")
def stack(stack_factory: Callable[..., LocalStack], services: OrderServices) -> LocalStack:
    return stack_factory(
        "engine", "broker", "redis", "bridge", "worker-generic",
        PROCOS_CONNECTION_DIRECTORY=str(services.folder), PROCOS_NOTIFICATION_AUDIENCES=json.dumps(AUDIENCES),
    )  # fmt: skip


@pytest.fixture
def ran(stack: LocalStack) -> Callable[..., dict[str, Any]]:
    """Send an order like the sample, but for what is said otherwise; returns the whole document."""

    def ran(**order: object) -> dict[str, Any]:
        said = [f"--var={name}={json.dumps(value)}" for name, value in order.items()]
        return stack.run(KEY, "--vars-file", str(SAMPLE), *said, "--timeout", "90")

    return ran


class TestOrder:
    def test_reaches_warehouse_team_and_customer(
        self, ran: Callable[..., dict[str, Any]], services: OrderServices
    ) -> None:
        document = ran(order_id="A-1")
        assert document["ended_at"] == "Order announced"
        assert document["variables"]["total"] == 40
        ((key, order),) = services.warehouse.taken
        assert key
        assert order == {"order": "A-1", "customer": 7, "items": json.loads(SAMPLE.read_text())["items"]}
        assert services.said()[0] == "Order A-1 of customer 7 is with the warehouse."
        mail = email.message_from_bytes(services.mailbox.mails[-1], policy=policy.default)
        assert (mail["to"], mail["subject"]) == ("ada@example.org", "Your order A-1")
        assert "2 x Blue cup" in mail.get_content()
        assert "Together: 40.00" in mail.get_content()

    def test_is_sent_again_until_the_warehouse_takes_it(
        self, ran: Callable[..., dict[str, Any]], services: OrderServices
    ) -> None:
        services.warehouse.answers.append(503)
        before = len(services.warehouse.taken)
        assert ran(order_id="A-2")["ended_at"] == "Order announced"
        assert len(services.warehouse.taken) == before + 1


class TestEnd:
    def test_of_a_wrong_order_names_every_mistake(
        self, ran: Callable[..., dict[str, Any]], services: OrderServices
    ) -> None:
        before = len(services.warehouse.taken)
        document = ran(order_id="a 1", items=[])
        assert document["ended_at"] == "Order refused"
        assert document["variables"]["error_code"] == "VALIDATION_FAILED"
        assert "order_id" in document["variables"]["error_message"]
        assert "items" in document["variables"]["error_message"]
        assert len(services.warehouse.taken) == before

    def test_of_an_unknown_customer(self, ran: Callable[..., dict[str, Any]]) -> None:
        assert ran(customer_id=99)["ended_at"] == "Customer unknown"

    def test_of_a_refusal_of_the_warehouse_has_its_answer(
        self, ran: Callable[..., dict[str, Any]], services: OrderServices
    ) -> None:
        services.warehouse.answers.append(409)
        document = ran(order_id="A-3")
        assert document["ended_at"] == "Warehouse has refused"
        assert document["variables"]["error_code"] == "HTTP_409"
        assert document["variables"]["http_body"] == {"status": 409}

    def test_comes_though_the_customer_cannot_be_told(self, ran: Callable[..., dict[str, Any]]) -> None:
        document = ran(order_id="A-4", customer_id=8)
        assert document["ended_at"] == "Order announced"
        assert document["variables"]["mail_error_code"] == "RECIPIENTS_REFUSED"

    def test_comes_though_the_team_cannot_be_told(
        self, ran: Callable[..., dict[str, Any]], services: OrderServices
    ) -> None:
        team = services.folder / "team.toml"
        text = team.read_text()
        team.write_text(text.replace('channel = "orders"', 'channel = "CNOWHERE00"'))
        try:
            document = ran(order_id="A-5")
        finally:
            team.write_text(text)
        assert document["ended_at"] == "Order announced"
        assert document["variables"]["team_error_code"] == "CHANNEL_NOT_FOUND"

    def test_of_a_statement_that_the_database_refuses(
        self, ran: Callable[..., dict[str, Any]], services: OrderServices
    ) -> None:
        orders = services.folder / "orders.toml"
        text = orders.read_text()
        orders.write_text(text.replace("WHERE id = :id", "WHERE id = 1 / (:id - :id)"))
        try:
            document = ran(order_id="A-6")
        finally:
            orders.write_text(text)
        assert document["ended_at"] == "Customer not looked up"

    def test_of_a_customer_without_a_mail_address(self, ran: Callable[..., dict[str, Any]]) -> None:
        document = ran(customer_id=9)
        assert document["ended_at"] == "Texts not written"
        assert "the customer has no mail address" in document["variables"]["error_message"]


class TestOperators:
    def test_are_told_once_when_the_system_is_not_well(
        self, stack: LocalStack, services: OrderServices, eventually: Callable[..., None]
    ) -> None:
        """There is no worker for `ai` in this stack, which the watch finds at its every check."""
        instance = stack.start(
            "procos_system_orchestrator",
            health_interval={"type": "String", "value": "PT1S"},
            roll_over_after={"type": "String", "value": "PT45S"},
        )
        eventually(lambda: "notified" in stack.variables(instance), seconds=60, what="operators told")
        eventually(
            lambda: stack.variables(instance)["consecutive_troubles"]["value"] >= 4, seconds=60, what="a later check"
        )
        stack.end(instance)
        alarms = [text for text in services.said() if text.startswith("[error] ProcOS is not healthy")]
        assert len(alarms) == 1
        assert "ai" in alarms[0]
        told = [mail for mail in services.mailbox.mails if b"ops@example.org" in mail]
        assert len(told) == 1


class TestDoctor:
    def test_looks_at_every_connection(self, stack: LocalStack) -> None:
        findings = json.loads(stack.procos("doctor", "--json").stdout)
        looked_at = {each["text"].split(":")[0]: each["health"] for each in findings if each["check"] == "connection"}
        assert len(looked_at) >= 4
        assert set(looked_at.values()) == {"good"}
