"""The client: what a program may ask of the engine it runs its processes on."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from procos.client.instance import ProcessInstance
from procos.client.retries import retry_each
from procos.domain.errors import MessageUntakenError, UsageError
from procos.domain.external_task import ProcessInstanceId
from procos.engine.correlation import correlate
from procos.engine.http import HttpEngine
from procos.engine.incidents import Incidents
from procos.engine.overview import summaries
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.kernel.surroundings import settings_here
from procos.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procos.client.retries import Retried
    from procos.engine.incidents import OpenIncident
    from procos.engine.overview import ProcessSummary
    from procos.settings import Settings

USER_REQUEST = "UserRequest"
"""The message that starts `procos_user_request`."""
KIND = "request_kind"
PREFIX = "request_"
RESERVED = ("error_code", "process_to_execute")


class Client:
    """Starts and finds process instances; may be shared by threads.

    Without `settings` it takes those of the environment, and where they name no engine, the local stack of `procos up`
    in the current folder.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Read the settings; nothing is called yet.

        Raises:
            SettingsError: a setting is unknown or wrong.
        """
        self._settings = settings or settings_here()
        self._transport = Transport(self._settings.engine)
        self._processes = Processes(self._transport)
        self._incidents = Incidents(self._transport)

    def start(
        self, key: str, variables: Mapping[str, object] | None = None, *, business_key: str | None = None
    ) -> ProcessInstance:
        """Start the newest version of a process.

        Raises:
            UsageError: no process of this key is deployed, or a variable cannot be carried; names it.
            EngineUnreachableError: the engine does not answer; whether the process was started is not known.
        """
        instance_id = self._processes.start(key, variables or {}, business_key=business_key, json_type=self._knows_json)
        return self._handle(instance_id, key)

    def request(
        self, kind: str, variables: Mapping[str, object] | None = None, *, business_key: str | None = None
    ) -> ProcessInstance:
        """Ask the system for something: an instance of `procos_user_request` checks it, routes it and answers it.

        `kind` says which process is to answer. An unknown kind, or variables that process does not take, end as an
        answer that says so: `Result.is_good` is false, and the variable `error_message` has the reason.

        Raises:
            UsageError: no kernel has deployed the system's processes, or a variable cannot be carried.
            EngineUnreachableError: the engine does not answer; whether the request was taken is not known.
        """
        if reserved := sorted(name for name in variables or {} if name.startswith(PREFIX) or name in RESERVED):
            own = f"{', '.join(RESERVED)}, and those that begin with {PREFIX}"
            raise UsageError(f"{', '.join(reserved)}: these names are the system's own: {own}")
        asked = {**(variables or {}), KIND: kind}
        try:
            return self.correlate(USER_REQUEST, asked, business_key=business_key)
        except MessageUntakenError as error:
            cure = "requests are taken where a kernel has booted: `procos up`, or `procos kernel` beside your engine"
            raise UsageError(f"{error}; {cure}") from error

    def instance(self, instance_id: str) -> ProcessInstance:
        """Return an instance that runs or has ended.

        Raises:
            UsageError: the engine's history has none of this id.
        """
        found = self._processes.find_instance(ProcessInstanceId(instance_id))
        if found is None:
            raise UsageError(f"there is no process instance {instance_id!r}")
        return self._handle(found.id, found.key)

    def correlate(
        self,
        message: str,
        variables: Mapping[str, object] | None = None,
        *,
        business_key: str | None = None,
        instance: str | None = None,
        keys: Mapping[str, object] | None = None,
    ) -> ProcessInstance:
        """Send a BPMN message to the one instance that waits for it, or to the process it starts; returns which.

        `keys` are variables that the instance must have. The engine keeps no message that nobody waits for.

        Raises:
            UsageError: nobody waits for it, more than one does, or a variable cannot be carried.
            EngineUnreachableError: the engine does not answer; whether it was taken is not known.
        """
        receiver = correlate(
            self._transport,
            message,
            variables or {},
            business_key=business_key,
            instance_id=ProcessInstanceId(instance) if instance else None,
            keys=keys or {},
            json_type=self._knows_json,
        )
        found = self._processes.find_instance(receiver)
        return self._handle(receiver, found.key if found else "")

    def processes(self) -> Sequence[ProcessSummary]:
        """List every deployed version with its running instances and open incidents, newest version first."""
        return summaries(self._transport)

    def incidents(self, process: str | None = None) -> Sequence[OpenIncident]:
        """List where instances wait for a person, oldest first; of one process alone, where it is named."""
        return [each for each in self._incidents.open() if process is None or process in each.processes]

    def retry(
        self,
        *ids: str,
        everything: bool = False,
        process: str | None = None,
        retries: int | None = None,
        on_each: Callable[[Retried], object] | None = None,
    ) -> list[Retried]:
        """Have steps tried again that wait for a person: of instances, or external tasks, by id, or `everything`.

        `process` narrows it to what holds up instances of that process; `retries` is how often to try, the attempts of
        the route where it is not said. `on_each` is told of each as it is done. What could not be retried says why.

        Raises:
            UsageError: neither ids nor everything was asked for, or both.
            EngineUnreachableError: the engine does not answer; what was told of before is done.
        """
        if bool(ids) == everything:
            raise UsageError("name instances or external tasks, or ask for everything")
        done = []
        for each in retry_each(self._transport, ids, process=process, retries=retries):
            done.append(each)
            if on_each is not None:
                on_each(each)
        return done

    @cached_property
    def _knows_json(self) -> bool:
        return HttpEngine(self._transport).knows_json

    @cached_property
    def _steps(self) -> Steps:
        return Steps(self._settings.redis)

    def _handle(self, instance_id: ProcessInstanceId, key: str) -> ProcessInstance:
        return ProcessInstance(self._processes, self._steps, instance_id, key)
