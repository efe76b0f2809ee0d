"""What travels on RabbitMQ: one publication of an external task as a Celery task.

`Dispatch` goes to the worker with the variables; its `DispatchRef` comes back with the callback, so that the bridge
needs no memory of its own to report. Both carry a version: a newer one than ours is parked, not guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from procos.domain.errors import DispatchError, NewerVersionError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Token, Topic
from procos.domain.mapping import PROPERTIES, OutputMapping

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
ENGINE_ID = re.compile(r"\w[\w.:-]{0,254}", re.ASCII)
"""Its UUIDs and numbers, and what other generators make; never a path."""
LONGEST_SHOWN = 60
LARGEST_WHOLE = 2**53
"""Up to here a number is the same in Lua, and so in the ledger's scripts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchRef:
    """Names one dispatch: which external task, which fetch of it, and what is needed to report its outcome."""

    external_task_id: ExternalTaskId
    token: Token
    holder: str
    topic: Topic
    process_instance_id: ProcessInstanceId
    activity_id: str
    retries: int | None
    retry_config: str | None = None
    """What the model says of retries; it travels along, since the one who reports does not fetch."""

    @property
    def celery_id(self) -> str:
        """The Celery id: the same for every publication of the same fetch, so that doubles are recognised."""
        return f"{self.external_task_id}.{self.token}"

    @property
    def queue(self) -> str:
        """The queue it was fetched for: the last part of the worker id."""
        return self.holder.rpartition("/")[2]

    def to_json(self) -> dict[str, object]:
        """Write the reference as the JSON object that travels."""
        return {
            "v": VERSION,
            "id": self.external_task_id,
            "token": self.token,
            "holder": self.holder,
            "topic": self.topic,
            "instance": self.process_instance_id,
            "activity": self.activity_id,
            "retries": self.retries,
            "retry_config": self.retry_config,
        }

    @classmethod
    def from_json(cls, source: object) -> DispatchRef:
        """Read the JSON object.

        Raises:
            DispatchError: it is not one, or of a newer version.
        """
        fields = _object(source, "dispatch")
        version = fields.get("v")
        if isinstance(version, int) and version > VERSION:
            raise NewerVersionError(f"dispatch version {version}; this ProcOS reads version {VERSION}")
        if version != VERSION:
            raise DispatchError(f"dispatch version {version!r}; this ProcOS reads version {VERSION}")
        retries = fields.get("retries")
        if retries is not None and not _is_int(retries):
            raise DispatchError(f"dispatch field 'retries' is {retries!r}, expected a whole number or null")
        retry_config = fields.get("retry_config")
        if retry_config is not None and not isinstance(retry_config, str):
            raise DispatchError(f"dispatch field 'retry_config' is {retry_config!r}, expected a text or null")
        return cls(
            external_task_id=ExternalTaskId(_id(fields, "id")),
            token=Token(_whole(fields, "token")),
            holder=_text(fields, "holder"),
            topic=Topic(_text(fields, "topic")),
            process_instance_id=ProcessInstanceId(_id(fields, "instance")),
            activity_id=_text(fields, "activity"),
            retries=cast("int | None", retries),
            retry_config=retry_config,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What a worker is handed: the reference, the variables as Python values, and what the model says of the output."""

    ref: DispatchRef
    variables: Mapping[str, object]
    business_key: str | None = None
    mapping: OutputMapping | None = None
    """Where there is none, nothing of it travels; a worker of before it came leaves it unread."""
    constants: tuple[str, ...] = ()
    """Names of the variables that are constants of the model: in these alone may a worker put secrets."""

    def to_kwargs(self) -> dict[str, object]:
        """Write the dispatch as the Celery task's keyword arguments."""
        kwargs: dict[str, object] = {
            "dispatch": self.ref.to_json(),
            "variables": dict(self.variables),
            "business_key": self.business_key,
            **({"constants": list(self.constants)} if self.constants else {}),
        }
        return kwargs if self.mapping is None else kwargs | {"mapping": self.mapping.to_properties()}

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, object]) -> Dispatch:
        """Read the keyword arguments of a Celery task.

        Raises:
            DispatchError: they are not those of a dispatch.
        """
        business_key = kwargs.get("business_key")
        return cls(
            ref=DispatchRef.from_json(kwargs.get("dispatch")),
            variables=_object(kwargs.get("variables"), "variables"),
            business_key=None if business_key is None else str(business_key),
            mapping=_mapping(kwargs.get("mapping")),
            constants=_names(kwargs.get("constants")),
        )


def _mapping(source: object) -> OutputMapping | None:
    if source is None:
        return None
    sent = _object(source, "mapping")
    properties = {name: _text(sent, name, may_be_empty=True) for name in PROPERTIES if name in sent}
    try:
        return OutputMapping.from_properties(properties)
    except ValueError as error:
        raise DispatchError(str(error)) from error


def _object(source: object, what: str) -> Mapping[str, object]:
    if not isinstance(source, dict):
        raise DispatchError(f"{what}: expected a JSON object, found {type(source).__name__}")
    return source


def _names(source: object) -> tuple[str, ...]:
    if source is None:
        return ()
    if not isinstance(source, list) or not all(isinstance(name, str) for name in source):
        raise DispatchError("constants: expected a list of names")
    return tuple(source)


def _text(fields: Mapping[str, object], name: str, *, may_be_empty: bool = False) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not (value or may_be_empty):
        raise DispatchError(f"dispatch field {name!r} is {value!r}, expected a text")
    return value


def _id(fields: Mapping[str, object], name: str) -> str:
    """Read an id of the engine: it becomes a part of addresses and of keys, so it is nothing else."""
    value = _text(fields, name)
    if not ENGINE_ID.fullmatch(value):
        shown = value[:LONGEST_SHOWN]
        raise DispatchError(f"dispatch field {name!r} is {shown!r}, expected an id of the engine")
    return value


def _whole(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if not _is_int(value) or abs(cast("int", value)) > LARGEST_WHOLE:
        shown = repr(value)[:LONGEST_SHOWN]
        raise DispatchError(f"dispatch field {name!r} is {shown}, expected a whole number up to 2**53")
    return cast("int", value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
