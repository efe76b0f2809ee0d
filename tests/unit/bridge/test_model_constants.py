"""The bridge tells constants of the model from other variables, and only where secrets may be named."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.dispatcher import Dispatcher
from bridge.model_constants import NO_CONSTANTS, ModelConstants
from bridge.undispatched import PUT_OFF
from procos.domain.errors import EngineBusyError, EngineDeniedError, EngineUnreachableError
from procos.testing import RecordingPublisher, external_task, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.domain.external_task import ExternalTask, Topic
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, InstantStop

NAMED = "Bearer {{secrets.CRM_TOKEN}}"
LEASE = timedelta(seconds=20)


class Model:
    """What the model says, and how often it was asked."""

    def __init__(self, **constants: str) -> None:
        self.constants, self.asked = constants, 0
        self.error: Exception | None = None

    def read(self, _: ExternalTask) -> Mapping[str, str]:
        self.asked += 1
        if self.error:
            raise self.error
        return self.constants


def among(model: Model, *, topics: frozenset[str] = frozenset({"ai_query"}), **variables: object) -> tuple[str, ...]:
    return ModelConstants(topics, model.read).among(external_task(variables=typed(**variables)))


class TestModelConstants:
    def test_are_variables_with_the_text_of_the_model(self) -> None:
        model = Model(token=NAMED, other="{{ secrets.X }}")
        assert among(model, token=NAMED, other="{{ secrets.X }}", third=NAMED) == ("other", "token")

    def test_are_not_what_was_changed_since(self) -> None:
        assert among(Model(token=NAMED), token="Bearer {{secrets.OTHER}}") == ()

    def test_are_not_what_the_model_does_not_set(self) -> None:
        """A process variable of a user's: the step has no input parameter of that name."""
        assert among(Model(other=NAMED), token=NAMED) == ()

    @pytest.mark.parametrize("value", ["plain", "{{name}}", "secrets.X", None, 5, ["{{secrets.X}}"], {"a": NAMED}])
    def test_cost_no_question_where_no_text_names_a_secret(self, value: object) -> None:
        model = Model()
        assert among(model, token=value) == ()
        assert model.asked == 0

    def test_cost_no_question_where_the_topic_may_have_none(self) -> None:
        model = Model(token=NAMED)
        assert among(model, topics=frozenset({"other"}), token=NAMED) == ()
        assert NO_CONSTANTS.among(external_task(variables=typed(token=NAMED))) == ()
        assert model.asked == 0


class TestDispatcher:
    @pytest.fixture
    def model(self) -> Model:
        return Model(token=NAMED)

    @pytest.fixture
    def publisher(self) -> RecordingPublisher:
        return RecordingPublisher()

    @pytest.fixture
    def dispatcher(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        publisher: RecordingPublisher,
        table: Mapping[Topic, Route],
        stop: InstantStop,
        model: Model,
    ) -> Dispatcher:
        constants = ModelConstants({"ai_query"}, model.read)
        return Dispatcher(
            engine, ledger, publisher, table, queue="ai", lease=LEASE, constants=constants, stop=stop
        )  # fmt: skip

    def test_names_them_in_the_dispatch(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
    ) -> None:
        engine.add(variables=typed(token=NAMED, user_query="{{secrets.CRM_TOKEN}}"))
        dispatcher.dispatch([fetch()])
        (publication,) = publisher.published
        assert publication.dispatch.constants == ("token",)
        assert publication.dispatch.variables["token"] == NAMED

    @pytest.mark.parametrize(
        "error", [EngineUnreachableError("engine", "away"), EngineBusyError("busy"), EngineDeniedError("no")]
    )
    def test_puts_a_step_off_whose_model_cannot_be_read_and_dispatches_the_others(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
        model: Model,
        error: Exception,
    ) -> None:
        model.error = error
        named, plain = engine.add(variables=typed(token=NAMED)), engine.add("narrow")
        dispatcher.dispatch([fetch(), fetch("narrow")])
        assert [p.dispatch.ref.external_task_id for p in publisher.published] == [plain]
        (failure,) = engine.failures
        assert (failure.external_task_id, failure.retries, failure.retry_in) == (named, 3, PUT_OFF)
        assert str(error) in failure.message
        assert "{{" not in failure.message

    def test_dispatches_it_when_the_model_can_be_read_again(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
        model: Model,
    ) -> None:
        engine.add(variables=typed(token=NAMED))
        model.error = EngineBusyError("busy")
        dispatcher.dispatch([fetch()])
        model.error = None
        engine.clock.advance(seconds=PUT_OFF.total_seconds() + 1)
        dispatcher.dispatch([fetch()])
        (publication,) = publisher.published
        assert publication.dispatch.constants == ("token",)
        assert publication.dispatch.ref.retries == 3

    def test_leaves_it_locked_where_the_engine_does_not_take_that_either(
        self,
        dispatcher: Dispatcher,
        engine: FakeEngine,
        fetch: Callable[..., ExternalTask],
        publisher: RecordingPublisher,
        model: Model,
    ) -> None:
        engine.add(variables=typed(token=NAMED))
        task = fetch()
        model.error = EngineUnreachableError("engine", "away")
        engine.is_down = True
        dispatcher.dispatch([task])
        assert publisher.published == []
        assert engine.failures == []
