"""Results that cannot be stored: a success is let go, a failure is tried again for a while."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import states
from celery.app.trace import build_tracer
from celery.backends.redis import RedisBackend
from celery.exceptions import BackendGetMetaError
from celery.utils.objects import Bunch
from structlog.testing import capture_logs

from procos.app import make_app
from procos.results import FAILURE_PATIENCE_SECONDS, Results
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable


class Away:
    """A Redis that is away for the first calls."""

    def __init__(self, times: float) -> None:
        self.left, self.calls = times, 0

    def __call__(self, *_: Any, **__: Any) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise redis.ConnectionError("connection refused")
        return "stored"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Results:
    made = make_app(load_settings({}, dotenv=None)).backend
    assert isinstance(made, Results)
    now = [0.0]

    def pause(seconds: float) -> bool:
        now[0] += seconds
        return False

    monkeypatch.setattr(Results, "pause", staticmethod(pause))
    monkeypatch.setattr(Results, "clock", staticmethod(lambda: now[0]))
    return made


@pytest.fixture
def redis_is_away(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Away]:
    def begin(times: float = float("inf"), method: str = "store_result") -> Away:
        away = Away(times)
        monkeypatch.setattr(RedisBackend, method, away)
        return away

    return begin


@pytest.fixture
def commands(backend: Results, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is sent to a Redis that takes everything and has nothing."""
    sent: list[tuple[str, str]] = []

    class Pipeline:
        def setex(self, _key: object, _seconds: int, text: str) -> None:
            sent.append(("SETEX", text))

        def publish(self, _key: object, text: str) -> None:
            sent.append(("PUBLISH", text))

        def execute(self) -> None:
            """Have sent it already."""

    class Told:
        def tell(self, verb: str, _key: object, text: str, _ex: str, seconds: int, *, refused: object) -> None:
            assert (callable(refused), seconds > 0) == (True, True)
            sent.append((verb, text))

    class Client:
        def get(self, _key: object) -> None:
            sent.append(("GET", ""))

        def pipeline(self) -> Any:
            return nullcontext(Pipeline())

    monkeypatch.setattr(backend, "client", Client())
    monkeypatch.setitem(vars(backend), "_connections", Told())
    return sent


class TestResults:
    def test_lets_a_success_go_at_once(self, backend: Results, redis_is_away: Callable[..., Away]) -> None:
        away = redis_is_away()
        assert backend.store_result("id", "value", states.SUCCESS) == "value"
        assert away.calls == 1

    def test_stores_a_failure_when_redis_is_back(self, backend: Results, redis_is_away: Callable[..., Away]) -> None:
        away = redis_is_away(3)
        assert backend.store_result("id", ValueError("no"), states.FAILURE) == "stored"
        assert away.calls == 4

    def test_does_not_wait_for_ever(self, backend: Results, redis_is_away: Callable[..., Away]) -> None:
        away = redis_is_away()
        backend.store_result("id", ValueError("no"), states.FAILURE)
        assert away.calls == FAILURE_PATIENCE_SECONDS + 1

    @pytest.mark.parametrize("state", [states.SUCCESS, states.FAILURE])
    def test_show_a_run_that_waits_for_redis_as_one_that_does_not_wait_for_the_broker(
        self,
        backend: Results,  # noqa: ARG002  # its clock, moved by its pauses
        monkeypatch: pytest.MonkeyPatch,
        state: str,
    ) -> None:
        run, shown = SimpleNamespace(is_publishing=True), list[bool]()

        def refuse(*_: Any, **__: Any) -> None:
            shown.append(run.is_publishing)
            raise redis.ConnectionError("connection refused")

        def work(task: Any) -> None:
            task.request.procos_run = run
            if state == states.FAILURE:
                raise ValueError

        monkeypatch.setattr(RedisBackend, "store_result", refuse)
        app = make_app(load_settings({}, dotenv=None))
        task = app.task(bind=True, name="procos.sample")(work)
        build_tracer(task.name, task, app=app)("id", [], {}, {"id": "id"})
        assert (set(shown), run.is_publishing) == ({False}, True)

    def test_writes_a_success_that_a_callback_carries_in_one_command(
        self, backend: Results, commands: list[tuple[str, str]]
    ) -> None:
        backend.store_result("id", {"a": 1}, states.SUCCESS, request=Bunch(callbacks=["the bridge's"]))
        ((verb, text),) = commands
        meta = json.loads(text)
        assert (verb, meta["task_id"], meta["status"], meta["result"]) == ("SET", "id", states.SUCCESS, {"a": 1})
        assert backend.meta_from_decoded(meta)["children"] == []

    def test_say_so_when_redis_has_refused_a_success(self, backend: Results, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full:
            def tell(self, *_: object, refused: Callable[[redis.RedisError], None]) -> None:
                refused(redis.OutOfMemoryError("used memory > 'maxmemory'"))

        monkeypatch.setitem(vars(backend), "_connections", Full())
        with capture_logs() as lines:
            result = backend.store_result("id", "value", states.SUCCESS, request=Bunch(callbacks=["the bridge's"]))
        said = [(line["event"], line["celery_id"], line["reason"]) for line in lines]
        assert (result, said) == ("value", [("result.not_stored", "id", "OutOfMemoryError")])

    @pytest.mark.parametrize(
        ("state", "callbacks"), [(states.SUCCESS, None), (states.FAILURE, ["the bridge's"])], ids=["awaited", "failed"]
    )
    def test_leaves_the_others_to_celery(
        self, backend: Results, commands: list[tuple[str, str]], state: str, callbacks: list[str] | None
    ) -> None:
        result = ValueError("no") if state == states.FAILURE else "value"
        backend.store_result("id", result, state, request=Bunch(callbacks=callbacks))
        assert [verb for verb, _ in commands] == ["GET", "SETEX", "PUBLISH"]

    def test_says_in_celerys_way_that_nothing_can_be_read(
        self, backend: Results, redis_is_away: Callable[..., Away]
    ) -> None:
        redis_is_away(method="get_task_meta")
        with pytest.raises(BackendGetMetaError):
            backend.get_task_meta("id")

    @pytest.mark.parametrize(
        ("url", "where"),
        [("redis://host:1/2", ("host", 1, 2)), ("unix:///tmp/redis.sock", (None, None, 0))],
        ids=["tcp", "socket"],
    )
    def test_are_kept_where_the_settings_say(self, url: str, where: tuple[object, ...]) -> None:
        backend: Any = make_app(load_settings({"PROCOS_REDIS_URL": url}, dotenv=None)).backend
        found = backend.connparams
        assert (found.get("host"), found.get("port"), found["db"]) == where
        assert found.get("path") == ("/tmp/redis.sock" if url.startswith("unix") else None)  # noqa: S108
