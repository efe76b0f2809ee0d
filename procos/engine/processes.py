"""Deploying models, starting processes and watching them: the part of the REST API that people and commands use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procos.domain.errors import EngineError, EngineRejectedError, ModelError, UsageError, VariableError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
from procos.domain.variables import from_engine, parse_date
from procos.engine.paths import path
from procos.engine.wire import count_from_json, typed_from_json, variables_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from procos.engine.transport import Transport

NOT_FOUND = 404
HISTORY_COUNT = "/history/process-instance/count"
DEPLOYMENT_SOURCE = "procos"
KEY = re.compile(r"[\w][\w.-]*")
"""The id of a process, which XML lets be little else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model to deploy."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A deployed version of a process."""

    key: str
    version: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A process instance as history knows it, while it runs and after it ended."""

    id: ProcessInstanceId
    key: str
    state: str
    started: datetime
    ended: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.ended is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One element of the diagram that an instance passed or waits at."""

    activity_id: str
    name: str
    kind: str
    external_task_id: ExternalTaskId | None
    started: datetime
    ended: datetime | None
    is_cancelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Where an instance waits for a person."""

    activity_id: str
    message: str


class Processes:
    """Models, instances and their history."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def deploy(self, name: str, models: Sequence[ModelFile]) -> Sequence[Definition]:
        """Deploy models under one name; returns the definitions that got a new version, none if nothing changed.

        Raises:
            ModelError: the engine cannot read a model; names line and element.
        """
        fields = {
            "deployment-name": name,
            "deployment-source": DEPLOYMENT_SOURCE,
            "enable-duplicate-filtering": "true",
            "deploy-changed-only": "true",
        }
        files = {model.name: (model.name, model.content, "application/xml") for model in models}
        try:
            answer = self._transport.post_form("/deployment/create", fields, files)
        except EngineRejectedError as refusal:
            raise _model_error(name, refusal) from refusal
        deployed = answer.get("deployedProcessDefinitions") or {}
        return [_definition(source) for source in deployed.values()]

    def definitions(self) -> Sequence[Definition]:
        """List the latest version of every deployed process."""
        answer = self._transport.get(
            "/process-definition", {"latestVersion": "true", "sortBy": "key", "sortOrder": "asc"}
        )
        return [_definition(source) for source in answer]

    def start(
        self, key: str, variables: Mapping[str, object], *, business_key: str | None = None, json_type: bool = True
    ) -> ProcessInstanceId:
        """Start a process.

        Raises:
            UsageError: no process of this key is deployed, or a variable cannot be carried.
        """
        if not KEY.fullmatch(key):
            raise UsageError(f"{key!r} cannot be the key of a process")
        try:
            body = {"variables": variables_to_json(variables, json_type=json_type), "businessKey": business_key}
            answer = self._transport.post(path("process-definition", "key", key, "start"), body)
        except VariableError as error:
            raise UsageError(str(error)) from error
        except EngineRejectedError as refusal:
            if refusal.status != NOT_FOUND:
                raise
            known = ", ".join(definition.key for definition in self.definitions()) or "none; run `procos deploy`"
            raise UsageError(f"no process {key!r} is deployed; deployed: {known}") from refusal
        return ProcessInstanceId(answer["id"])

    def running(self, key: str) -> Sequence[ProcessInstanceId]:
        """List the running instances of a process, of all its versions; the oldest first, where history knows them."""
        rows = self._transport.get("/process-instance", {"processDefinitionKey": key})
        ids = [ProcessInstanceId(row["id"]) for row in rows]
        if len(ids) <= 1:
            return ids
        question = {"processDefinitionKey": key, "unfinished": "true", "sortBy": "startTime", "sortOrder": "asc"}
        known = [ProcessInstanceId(row["id"]) for row in self._transport.get("/history/process-instance", question)]
        return [*(each for each in known if each in ids), *(each for each in sorted(ids) if each not in known)]

    def cancel(self, instance_id: ProcessInstanceId) -> bool:
        """Delete a running instance with what it has called; False when there is none.

        Raises:
            EngineConflictError: it was just going on; cancel it again.
        """
        try:
            self._transport.delete(path("process-instance", instance_id))
        except EngineError as refusal:
            # Asked by its id the engine answers like this for what is gone; a wrong address answers otherwise.
            if (refusal.status, refusal.kind) != (NOT_FOUND, "InvalidRequestException"):
                raise
            return False
        return True

    def instance(self, instance_id: ProcessInstanceId) -> Instance:
        """Read an instance from history."""
        source = self._transport.get(path("history", "process-instance", instance_id))
        return Instance(
            id=instance_id,
            key=source["processDefinitionKey"],
            state=source["state"],
            started=parse_date("startTime", source["startTime"]),
            ended=_moment(source, "endTime"),
        )

    def find_instance(self, instance_id: ProcessInstanceId) -> Instance | None:
        """Read an instance from history, if there is one of this id."""
        return self.instance(instance_id) if self._is_known(instance_id) else None

    def variables(self, instance_id: ProcessInstanceId) -> Mapping[str, object]:
        """Read the instance's own variables from history; those of types tasks do not know are left out."""
        rows = self._transport.get(
            "/history/variable-instance", {"processInstanceId": instance_id, "deserializeValues": "false"}
        )
        own = [row for row in rows if row.get("activityInstanceId") == instance_id and row.get("state") != "DELETED"]
        values = {row["name"]: _value(row) for row in sorted(own, key=lambda row: str(row["name"]))}
        return {name: value for name, value in values.items() if value is not _UNCARRIED}

    def activities(self, instance_id: ProcessInstanceId) -> Sequence[Activity]:
        """List what the instance passed and where it is, oldest first."""
        rows = self._transport.get(
            "/history/activity-instance",
            {"processInstanceId": instance_id, "sortBy": "occurrence", "sortOrder": "asc"},
        )
        tasks = self._external_task_ids(instance_id)
        return [_activity(row, tasks.get(row["id"])) for row in rows]

    def incidents(self, instance_id: ProcessInstanceId) -> Sequence[Incident]:
        """List where the instance waits for a person."""
        rows = self._transport.get("/incident", {"processInstanceId": instance_id})
        return [Incident(activity_id=row["activityId"], message=row.get("incidentMessage") or "") for row in rows]

    def open_incidents(self) -> int:
        """Count the incidents of all instances."""
        return int(self._transport.get("/incident/count")["count"])

    def _is_known(self, instance_id: ProcessInstanceId) -> bool:
        # A direct read of what is not there is answered like a wrong address.
        question = {"processInstanceId": instance_id}
        return bool(instance_id) and count_from_json(self._transport.get(HISTORY_COUNT, question)) > 0

    def _external_task_ids(self, instance_id: ProcessInstanceId) -> Mapping[str, ExternalTaskId]:
        rows = self._transport.get("/history/external-task-log", {"processInstanceId": instance_id})
        return {row["activityInstanceId"]: ExternalTaskId(row["externalTaskId"]) for row in rows}


_UNCARRIED = object()


def _value(row: Mapping[str, Any]) -> object:
    try:
        return from_engine(row["name"], typed_from_json(row))
    except VariableError:
        return _UNCARRIED


def _definition(source: Mapping[str, Any]) -> Definition:
    return Definition(key=source["key"], version=source["version"], id=source["id"])


def _activity(source: Mapping[str, Any], external_task_id: ExternalTaskId | None) -> Activity:
    return Activity(
        activity_id=source["activityId"],
        name=source.get("activityName") or source["activityId"],
        kind=source["activityType"],
        external_task_id=external_task_id,
        started=parse_date("startTime", source["startTime"]),
        ended=_moment(source, "endTime"),
        is_cancelled=bool(source.get("canceled")),
    )


def _moment(source: Mapping[str, Any], name: str) -> datetime | None:
    value = source.get(name)
    return None if value is None else parse_date(name, value)


def _model_error(name: str, refusal: EngineRejectedError) -> ModelError:
    """Read line and element from the engine's parse report, where there is one."""
    for file, report in refusal.details.items():
        for problem in (report or {}).get("errors", []) if isinstance(report, dict) else []:
            return ModelError(
                file,
                str(problem.get("message", "")).split("|")[0].strip(),
                line=problem.get("line"),
                element=problem.get("mainElementId"),
            )
    return ModelError(name, str(refusal))
