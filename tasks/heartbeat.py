"""Shows the ledger, once a second, which dispatches this process is running, and learns which were cancelled.

One thread per process does so for all of them, in one round trip; it sleeps while nothing runs. A run shows itself from
its start until Celery has let go of it, so also while its outcome waits for a broker that is away. Redis being away
keeps no run from going on. `tasks.task` adds and removes runs.

A cancelled run is told at once, through its event. One in a process of its own that works on all the same is
interrupted after 5 s, and 10 s later its process is killed.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import redis
from redis.exceptions import NoScriptError

from procos import ledger_keys as keys
from procos.caps import places
from procos.ledger_scripts import ALIVE
from procos.logs import get_logger
from tasks.interruption import Interruption
from tasks.store import client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.runs import Run

BEAT_SECONDS = 1.0
IDLE_SECONDS = 60.0
INTERRUPTED_AFTER_SECONDS = 5.0
KILLED_AFTER_SECONDS = 15.0
CANCELLED = -1

log = get_logger(__name__)
_lock = threading.Lock()


class Signs(Protocol):
    """Where signs of life are left."""

    def show(self, runs: Sequence[Run]) -> Sequence[int]:
        """Show that these runs are alive; -1 stands for one that was cancelled."""


class Heartbeat:
    """The running dispatches of one process, and the thread that shows them."""

    def __init__(
        self, signs: Signs, *, interruption: Interruption | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._signs, self._clock = signs, clock
        self._interruption = interruption or Interruption()
        # Weak, so that a run nobody removed ends with the task that held it.
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()
        self._some = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_silent = False
        self._pause = threading.Event()

    def add(self, run: Run) -> None:
        """Show this run from now on."""
        if run.in_process_of_its_own:
            self._interruption.arm()
        with self._some:
            self._runs.add(run)
            self._some.notify()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)
                self._thread.start()

    def remove(self, run: Run) -> None:
        """Show this run no longer."""
        with self._some:
            self._runs.discard(run)

    def running(self) -> Sequence[Run]:
        """Return what is running now."""
        with self._some:
            return list(self._runs)

    def beat(self) -> None:
        """Show every run once, and see to those that were cancelled."""
        runs = self.running()
        if not runs:
            return
        for run, answer in zip(runs, self._answers(runs), strict=True):
            if answer == CANCELLED and not run.cancelled.is_set():
                log.info("task.cancelled", external_task_id=run.ref.external_task_id, topic=run.ref.topic)
                run.cancel(self._clock())
        for run in runs:
            self._insist(run)

    def _answers(self, runs: Sequence[Run]) -> Sequence[int]:
        try:
            answers = self._signs.show(runs)
        except redis.RedisError as error:
            if not self._is_silent:
                log.warning("heartbeat.missed", reason=str(error), running=len(runs))
            self._is_silent = True
            return [0] * len(runs)
        self._is_silent = False
        return answers

    def _insist(self, run: Run) -> None:
        """Interrupt, then kill, what was told to stop and did not; never the next task of the same process."""
        if run.cancelled_at is None or not run.in_process_of_its_own:
            return
        waited = self._clock() - run.cancelled_at
        with self._some:
            if run not in self._runs or not run.is_working:
                return
            if waited >= KILLED_AFTER_SECONDS:
                log.warning("task.killed", external_task_id=run.ref.external_task_id, topic=run.ref.topic)
                self._interruption.kill()
            elif waited >= INTERRUPTED_AFTER_SECONDS and not run.was_interrupted:
                run.was_interrupted = True
                log.info("task.interrupted", external_task_id=run.ref.external_task_id, topic=run.ref.topic)
                self._interruption.interrupt(run)

    def _beat_on(self) -> None:
        while True:
            with self._some:
                while not self._runs:
                    self._some.wait(IDLE_SECONDS)
            self._pause.wait(BEAT_SECONDS)
            try:
                self.beat()
            except Exception:  # a heartbeat that ends would let every run here pass for dead
                log.exception("heartbeat.failed")


class RedisSigns:
    """Leaves signs of life in the ledger."""

    def __init__(self, url: str) -> None:
        self._redis = client(url)
        self._sha = ""

    def show(self, runs: Sequence[Run]) -> Sequence[int]:
        """Show that these runs are alive, all in one round trip."""
        answers = self._sent(runs)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            self._sha = str(self._redis.script_load(ALIVE))
            answers = self._sent(runs)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [int(answer) for answer in answers]

    def _sent(self, runs: Sequence[Run]) -> Sequence[Any]:
        self._sha = self._sha or str(self._redis.script_load(ALIVE))
        pipeline = self._redis.pipeline(transaction=False)
        for run in runs:
            names = _keys(run)
            pipeline.evalsha(self._sha, len(names), *names, *_arguments(run))
        return pipeline.execute(raise_on_error=False)


def heartbeat(url: str) -> Heartbeat:
    """Return this process's heartbeat; one that a fork has copied is without its thread, and is not used."""
    with _lock:
        return _heartbeat(os.getpid(), url)


@cache
def _heartbeat(_pid: int, url: str) -> Heartbeat:
    return Heartbeat(RedisSigns(url))


def _keys(run: Run) -> Sequence[str]:
    ref = run.ref
    return (
        keys.entry(ref.external_task_id),
        keys.leases(run.queue),
        keys.steps(ref.process_instance_id),
        keys.cancelled(ref.external_task_id),
        keys.ended(ref.external_task_id),
        *places(ref.topic, run.queue),
    )


def _arguments(run: Run) -> Sequence[str | int]:
    ref = run.ref
    retries = "" if ref.retries is None else ref.retries
    return (
        ref.external_task_id, ref.token, run.worker, run.id, ref.holder, ref.topic, run.queue,
        ref.process_instance_id, ref.activity_id, retries, ref.retry_config or "",
    )  # fmt: skip
