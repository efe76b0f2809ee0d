"""The microkernel: takes the system through the six phases of its boot, watches over it, and takes leave of it.

It owns one child, the engine, unless it attaches to one that runs elsewhere. All else it does as the engine's client:
what the system's policy is, its processes say.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from bridge.registry import Registry
from procos.domain.errors import ProcosError, UnreachableError
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.kernel.boot.course import BootStopped, Course
from procos.kernel.boot.environment_check import require_sound, services
from procos.kernel.boot.farewell import take_leave
from procos.kernel.boot.metrics import KernelMetrics
from procos.kernel.boot.observation import observed
from procos.kernel.boot.orchestrator import Orchestrator
from procos.kernel.boot.phases import BootPhase
from procos.kernel.boot.root_models import deploy_all, root_models
from procos.kernel.boot.ward import Ward
from procos.kernel.leftovers import end_leftovers
from procos.kernel.nursery import Nursery
from procos.kernel.parts.engine import engine_part, external_engine
from procos.kernel.ports import Ports
from procos.kernel.signals import on_signals
from procos.logs import get_logger
from procos.shipped import ORCHESTRATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.kernel.boot.announcer import Announcer
    from procos.kernel.part import Part
    from procos.kernel.state import StackFolder
    from procos.models import Model
    from procos.settings import Settings

ENGINE_URL = "PROCOS_ENGINE_URL"
JOB = "kernel"
TURN_SECONDS = 30.0
TURNS_IN_AN_INTERVAL = 2
ORCHESTRATOR_EVERY = 6
"""Turns between two looks at whether the orchestrator runs."""

log = get_logger(__name__)


class Microkernel:
    """One run of the kernel in this process; the folder's lock must be held."""

    def __init__(self, settings: Settings, *, folder: StackFolder, announcer: Announcer) -> None:
        """Put it together; nothing is started or called yet.

        Raises:
            SettingsError: the settings do not say in one way how the engine is called.
        """
        self._folder = folder
        self._metrics = KernelMetrics()
        self._course = Course(announcer, self._metrics)
        self._hurry = threading.Event()
        self._nursery = Nursery()
        end_leftovers(folder.state())
        part = _engine(settings, folder)
        self._settings = settings.model_copy(
            update={"engine": settings.engine.model_copy(update={"url": part.address})}
        )
        self._ward = Ward(part, settings, self._course, folder=folder, nursery=self._nursery)
        self._registry = Registry(settings.redis)
        self._processes = Processes(Transport(self._settings.engine))
        self._orchestrator = Orchestrator(self._processes, has_turn=self._has_turn)
        self._models: Sequence[Model] = ()

    def run(self) -> None:
        """Boot, watch until somebody wants to stop, take leave.

        Raises:
            SettingsError, ModelError: something here is missing, wrong or in the way.
            UnreachableError: a service does not answer in time.
            PartFailedError: the engine does not come up, or does not stay up; carries the end of its log.
        """
        with (
            on_signals(self._on_signal),
            self._nursery,
            observed(self._settings, self._course, self._ward, self._metrics),
        ):
            try:
                self._boot()
                self._monitor()
            except BootStopped:
                log.info("kernel.stops", phase=self._course.phase)
            finally:
                self._leave()

    def _boot(self) -> None:
        go_through = self._course.go_through
        go_through(BootPhase.ENVIRONMENT, self._validate)
        go_through(BootPhase.ENGINE, self._ward.start)
        go_through(BootPhase.READINESS, self._ward.await_ready)
        go_through(BootPhase.MODELS, lambda: self._course.patiently(self._deploy))
        go_through(BootPhase.ORCHESTRATOR, self._start_orchestrator)

    def _validate(self) -> str:
        starts_engine = self._ward.is_own
        require_sound(self._settings, state=self._folder.root, starts_engine=starts_engine)
        self._models = root_models(self._settings.process_directory)
        limit = timedelta(seconds=self._settings.kernel.patience)
        names = []
        for service in services(self._settings, starts_engine=starts_engine):
            trouble = self._course.await_answer(service.question, limit=limit, what=service.name)
            if trouble is not None:
                raise service.error(trouble)
            names.append(service.name)
        return f"{' and '.join(names)} answer, {len(self._models)} models are sound"

    def _deploy(self) -> str:
        return deploy_all(self._processes, self._models)

    def _start_orchestrator(self) -> str:
        """Start it, or wait for the kernel whose turn it is, which may have died over it."""
        outcomes: list[str] = []

        def missing() -> str | None:
            outcomes.append(self._course.patiently(self._orchestrator.ensure))
            return None if self._orchestrator.instance else outcomes[-1]

        self._course.await_answer(missing, limit=timedelta(seconds=2 * TURN_SECONDS), what=ORCHESTRATOR)
        return outcomes[-1]

    def _monitor(self) -> None:
        self._course.begin_monitoring(f"the engine at {self._ward.part.address}; Ctrl-C or SIGTERM ends it")
        turn, seconds = 0, self._settings.health_check_interval / TURNS_IN_AN_INTERVAL
        while True:
            self._course.pause(seconds)
            turn += 1
            self._ward.turn()
            self._metrics.see(self._ward.engine)
            self._look_after_orchestrator(is_due=turn % ORCHESTRATOR_EVERY == 0)

    def _look_after_orchestrator(self, *, is_due: bool) -> None:
        """Keep the turn, and see that there still is one: it ends by itself once a day, and is started anew."""
        before = self._orchestrator.instance
        try:
            self._has_turn()
            outcome = self._orchestrator.ensure() if is_due else ""
        except ProcosError as error:
            log.warning("kernel.orchestrator_not_seen_to", reason=str(error))
            return
        if self._orchestrator.instance != before:
            self._course.announcer.happened(f"{ORCHESTRATOR}: {outcome}")

    def _leave(self) -> None:
        """Take leave of what is up, and end the engine if it is ours."""
        try:
            if self._course.phase is BootPhase.MONITORING and self._settings.kernel.farewell:
                self._say_farewell()
            self._registry.pass_turn(JOB)
        except UnreachableError as error:
            log.warning("kernel.left_in_silence", reason=str(error))
        finally:
            self._ward.stop()
            self._course.announcer.happened("stopped")

    def _say_farewell(self) -> None:
        if not self._ward.engine.is_healthy or not self._has_turn():
            return
        self._course.announcer.happened(take_leave(self._settings, self._hurry))

    def _has_turn(self) -> bool:
        return self._registry.has_turn(JOB, TURN_SECONDS)

    def _on_signal(self, _number: int) -> None:
        if self._course.stop.is_set():
            # Asked for the second time: somebody does not want to wait.
            self._hurry.set()
            self._ward.kill()
        self._course.stop.set()


def _engine(settings: Settings, folder: StackFolder) -> Part:
    if not settings.is_set(ENGINE_URL):
        # A port that is taken is refused by the first phase, so it is not looked at here.
        return engine_part(settings, folder=folder, ports=Ports())
    # Whoever attaches to an engine waits for it as long as for one of their own.
    return replace(external_engine(settings.engine), is_external=False)
