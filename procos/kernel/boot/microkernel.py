"""The microkernel: takes the system through the six phases of its boot, watches over it, and takes leave of it.

It owns one child, the engine, unless it attaches to one that runs elsewhere. All else it does as the engine's client:
what the system's policy is, its processes say.
"""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.errors import PartFailedError, ProcosError, UnreachableError
from procos.engine.http import HttpEngine
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.kernel.boot.course import BootStopped, Course
from procos.kernel.boot.environment_check import require_sound, services
from procos.kernel.boot.farewell import take_leave
from procos.kernel.boot.metrics import KernelMetrics
from procos.kernel.boot.observation import observed
from procos.kernel.boot.orchestrator import Orchestrator
from procos.kernel.boot.phases import BootPhase
from procos.kernel.boot.presence import LEASE_SECONDS, Presence
from procos.kernel.boot.root_models import deploy_all, root_models
from procos.kernel.boot.ward import Ward
from procos.kernel.leftovers import end_leftovers
from procos.kernel.nursery import Nursery
from procos.kernel.parts.engine import engine_part, external_engine
from procos.kernel.ports import GivenPorts
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
TURNS_IN_AN_INTERVAL = 2
ORCHESTRATOR_EVERY = 6
"""Turns between two looks at whether the orchestrator runs."""

log = get_logger(__name__)


class Microkernel:
    """One run of the kernel in this process; the folder's lock must be held."""

    def __init__(self, settings: Settings, *, folder: StackFolder, announcer: Announcer) -> None:
        """Put it together, and end what an earlier kernel left behind; nothing is started or called yet.

        Raises:
            SettingsError: the settings do not say in one way how the engine is called.
        """
        end_leftovers(folder.state())
        part = _engine(settings, folder)
        engine = settings.engine.model_copy(update={"url": part.address})
        transport = Transport(engine)
        self._settings = settings.model_copy(update={"engine": engine})
        self._folder = folder
        self._metrics = KernelMetrics()
        self._course = Course(announcer, self._metrics)
        self._nursery = Nursery()
        self._ward = Ward(
            part, settings, self._course, folder=folder, nursery=self._nursery, greet=HttpEngine(transport).version
        )
        self._presence = Presence(settings.redis)
        self._processes = Processes(transport)
        self._orchestrator = Orchestrator(self._processes, has_turn=self._presence.show)
        self._models: Sequence[Model] = ()
        self._restarts_seen = 0
        self._is_ending_engine = False

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
            observed(self._settings, self._course, self._ward, self._orchestrator, self._metrics),
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
        go_through(BootPhase.READINESS, self._await_engine)
        go_through(BootPhase.MODELS, lambda: self._course.patiently(self._deploy, meanwhile=self._ward.hear))
        go_through(BootPhase.ORCHESTRATOR, self._start_orchestrator)

    def _validate(self) -> str:
        starts_engine = self._ward.is_own
        require_sound(self._settings, state=self._folder.root, starts_engine=starts_engine)
        self._models = root_models(self._settings.process_directory)
        answering = self._await_services(before_engine=True)
        return ", ".join(filter(None, [f"{len(self._models)} models are sound", answering]))

    def _await_engine(self) -> str:
        where = self._ward.await_ready()
        self._await_services(before_engine=False)
        return where

    def _await_services(self, *, before_engine: bool) -> str:
        """Wait for the services that have to answer now; returns in words which they were.

        Raises:
            UnreachableError: one does not, as long as the kernel has patience.
        """
        limit, names = timedelta(seconds=self._settings.kernel.patience), []
        for service in services(self._settings, starts_engine=self._ward.is_own):
            if (service.is_for_engine or self._settings.kernel.services_first) is not before_engine:
                continue
            trouble = self._course.await_answer(service.question, limit=limit, what=service.name)
            if trouble is not None:
                raise service.error(trouble)
            names.append(service.name)
        return f"{' and '.join(names)} answer" if names else ""

    def _deploy(self) -> str:
        return deploy_all(self._processes, self._models)

    def _start_orchestrator(self) -> str:
        """Start it, or wait for the kernel whose turn it is, which may have died over it.

        Raises:
            PartFailedError: the other kernel starts none.
        """
        outcomes: list[str] = []

        def missing() -> str | None:
            outcomes.append(self._course.patiently(self._orchestrator.ensure, meanwhile=self._ward.hear))
            return None if self._orchestrator.instance else outcomes[-1]

        limit = timedelta(seconds=2 * LEASE_SECONDS)
        if self._course.await_answer(missing, limit=limit, what=ORCHESTRATOR) is not None:
            cure = (
                "is it at another engine with the same Redis? Each system needs a Redis of its own (PROCOS_REDIS_URL)"
            )
            raise PartFailedError(ORCHESTRATOR, f"another kernel has the turn to start it, and does not: {cure}")
        return outcomes[-1]

    def _monitor(self) -> None:
        self._course.begin_monitoring(f"the engine at {self._ward.part.address}; Ctrl-C or SIGTERM ends it")
        turn, seconds = 0, self._settings.health_check_interval / TURNS_IN_AN_INTERVAL
        while True:
            self._course.pause(seconds)
            turn += 1
            self._ward.turn()
            self._metrics.see(self._ward.engine)
            if self._ward.engine.is_healthy:
                self._look_after_system(is_due=turn % ORCHESTRATOR_EVERY == 0)

    def _look_after_system(self, *, is_due: bool) -> None:
        """Show that this kernel lives, and see that what it has started is still there.

        The orchestrator ends by itself once a day, and is then started anew. An engine that was started again may have
        lost its memory, if its database is one.
        """
        before, restarts = self._orchestrator.instance, self._ward.engine.restarts
        try:
            self._presence.show()
            if restarts != self._restarts_seen:
                self._deploy()
            if is_due or restarts != self._restarts_seen:
                outcome = self._orchestrator.ensure()
                self._restarts_seen = restarts
                if self._orchestrator.instance != before:
                    self._course.announcer.happened(f"{ORCHESTRATOR}: {outcome}")
        except ProcosError as error:
            log.warning("kernel.system_not_looked_after", reason=str(error))

    def _leave(self) -> None:
        """Take leave of what is up, if this is the last kernel, and end the engine if it is ours."""
        try:
            if self._is_to_take_leave():
                self._course.announcer.happened(take_leave(self._settings, self._course.is_hurried))
            if self._course.phase in {BootPhase.ORCHESTRATOR, BootPhase.MONITORING}:
                self._presence.leave()
        except UnreachableError as error:
            log.warning("kernel.left_in_silence", reason=str(error))
        finally:
            self._is_ending_engine = True
            self._ward.stop()
            self._course.announcer.happened("stopped")

    def _is_to_take_leave(self) -> bool:
        is_up = self._course.phase is BootPhase.MONITORING and self._ward.engine.is_healthy
        return is_up and self._settings.kernel.farewell and self._presence.is_last()

    def _on_signal(self, number: int) -> None:
        self._course.ask_to_stop(number)
        if number == signal.SIGINT and self._is_ending_engine:
            # Ctrl-C once more, while the engine takes its time.
            self._ward.kill()


def _engine(settings: Settings, folder: StackFolder) -> Part:
    if settings.is_set(ENGINE_URL):
        return external_engine(settings.engine)
    # Whether the port is free is a question of the first phase.
    return engine_part(settings, folder=folder, ports=GivenPorts())
