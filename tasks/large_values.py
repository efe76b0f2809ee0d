"""What is too large for a variable: put into the blob store when a task has ended, and read again for the next one.

The wrapper calls both ways. A field annotated with `BlobReference` gets the reference; any other field gets the text or
the JSON it leads to, so that a task need not know how large a value was. Where everything is small, nothing is opened
and nothing imported: that is looked at before anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from pydantic import AliasChoices

from procos.blobs.reference import JSON, TEXT, BlobReference, is_reference, reference_in
from procos.domain import variables as rules
from procos.domain.errors import BlobsUnreachableError, BusinessError, PermanentError, ProcosError, VariableError
from procos.domain.outcome import BpmnError, Completion, outcome_of
from procos.domain.variables import TypedValue
from procos.logs import get_logger
from tasks.blobs import INVALID_INPUT, decoded, store_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from procos.domain.outcome import Outcome
    from procos.settings import Settings

LONGEST_SIGN = 4
"""Bytes of a character in UTF-8, at most."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many bytes the variables of an outcome may have together, and what would raise that."""

    bytes: int
    cure: str
    travels: bool = True
    """Whether all of it goes into a message."""


def readable(model: type[BaseModel], variables: Mapping[str, object], settings: Settings) -> Mapping[str, object]:
    """Return the variables as a model reads them, with what references to texts and JSON lead to.

    Raises:
        BusinessError: INVALID_INPUT, where a reference is none of ours, or its blob is not what it says.
        PermanentError: BLOB_MISSING, BLOB_DAMAGED, or BLOB_TOO_LARGE for what a worker reads at once.
        BlobsUnreachableError: the store does not answer.
    """
    referring = [name for name, value in variables.items() if is_reference(value)]
    if not referring:
        return variables
    reads, found, left = _reads(model), dict(variables), settings.worker.largest_message
    for name in filter(reads.as_value, referring):
        reference = _reference(name, variables[name])
        if reference.is_text or reference.is_json:
            if reference.size <= left:
                left -= reference.size
                found[name] = _value(name, reference, settings)
            elif reads.by_name(name):  # else the model takes whatever there is, and need not mean this
                text = f"variable {name!r}: a worker reads at most {settings.worker.largest_message} bytes at once"
                cure = "a field annotated with BlobReference takes it in pieces"
                raise PermanentError(f"{text}; {cure}", code="BLOB_TOO_LARGE")
    return found


def with_references_written(variables: Mapping[str, object]) -> dict[str, object]:
    """Return variables as they travel: a reference that an author returns is a JSON object."""
    return {name: v.to_json() if isinstance(v, BlobReference) else v for name, v in variables.items()}


def largest_result(settings: Settings) -> Limit:
    """Return how much a task may return: what a message carries, or what a blob may have where there is a store."""
    carried = settings.worker.largest_result
    if settings.blobs.url is None:
        return Limit(bytes=carried, cure="PROCOS_BLOBS_URL names a store that would keep it")
    return Limit(bytes=max(carried, settings.blobs.largest), cure="", travels=False)


def kept_apart(outcome: Outcome, *, under: str, settings: Settings) -> Outcome:
    """Return an outcome as it travels: what is too large for a variable is in the store, and its reference there.

    What cannot be kept makes a failure of it. Without a store it stays what it is.
    """
    if settings.blobs.url is None or not isinstance(outcome, Completion | BpmnError):
        return outcome
    try:
        variables = _carried(outcome.variables, under=under, settings=settings)
    except ProcosError as error:
        return outcome_of(error)
    return outcome if variables is outcome.variables else replace(outcome, variables=variables)


def _carried(variables: Mapping[str, object], *, under: str, settings: Settings) -> Mapping[str, object]:
    """Return variables with references in place of what is too large.

    Raises:
        VariableError: a value is too large for the store, or what is left for a message.
        BlobsUnreachableError: the store does not answer, and they are too large for a message.
    """
    typed = {name: rules.to_engine(name, value) for name, value in variables.items()}
    large = [name for name, value in typed.items() if _is_large(value, settings.blobs.above)]
    if large:
        kept = _kept(variables, typed, large, under=under, settings=settings)
        variables = {**variables, **kept}
        typed |= {name: rules.to_engine(name, value) for name, value in kept.items()}
    rules.check_size(typed, largest=settings.worker.largest_result)
    return variables


def _is_large(typed: TypedValue, above: int) -> bool:
    text = typed.value
    if not isinstance(text, str) or len(text) * LONGEST_SIGN <= above:
        return False
    return len(text.encode()) > above


def _kept(
    variables: Mapping[str, object],
    typed: Mapping[str, TypedValue],
    large: list[str],
    *,
    under: str,
    settings: Settings,
) -> dict[str, object]:
    """Put values into the store; one that does not answer costs nothing, as long as all of them fit a message."""
    try:
        return {name: _put(name, variables[name], typed[name], under=under, settings=settings) for name in large}
    except BlobsUnreachableError as error:
        try:
            rules.check_size(typed, largest=settings.worker.largest_result)
        except VariableError:
            raise error from None
        log.warning("result.not_kept_apart", variables=sorted(large), reason=str(error))
        return {}


def _put(name: str, value: object, typed: TypedValue, *, under: str, settings: Settings) -> dict[str, object]:
    # A text lies there as it is; an engine's Object would be its JSON.
    content, media_type = (value, TEXT) if isinstance(value, str) else (str(typed.value), JSON)
    try:
        reference = store_of(settings).put(content.encode(), under=under, media_type=media_type)
    except PermanentError as error:
        raise VariableError(name, str(error)) from error
    log.info("result.kept_apart", variable=name, bytes=reference.size)
    return reference.to_json()


def _value(name: str, reference: BlobReference, settings: Settings) -> object:
    try:
        content = store_of(settings).read(reference)
    except PermanentError as error:
        raise PermanentError(f"variable {name!r}: {error}", code=error.code) from error
    text = decoded(content, reference, name)
    if reference.is_text:
        return text
    try:
        return rules.from_engine(name, TypedValue(type="Json", value=text))
    except VariableError as error:
        raise BusinessError(INVALID_INPUT, f"{name}: {error.reason}") from error


def _reference(name: str, value: object) -> BlobReference:
    try:
        return reference_in(name, value)
    except VariableError as error:
        raise BusinessError(INVALID_INPUT, f"{name}: {error.reason}") from error


class _Reads:
    """Tells how a model reads variables."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._takes_all = model.model_config.get("extra") == "allow"
        self._fields = {
            name: _takes_references(field.annotation)
            for own, field in model.model_fields.items()
            for name in (own, *_names(field.alias), *_names(field.validation_alias))
        }

    def by_name(self, name: str) -> bool:
        """Whether it has a field for this variable."""
        return name in self._fields

    def as_value(self, name: str) -> bool:
        """Whether it reads this variable, and not as a reference."""
        return not self._fields[name] if name in self._fields else self._takes_all


@cache
def _reads(model: type[BaseModel]) -> _Reads:
    return _Reads(model)


def _names(alias: Any) -> Iterator[str]:
    for each in alias.choices if isinstance(alias, AliasChoices) else [alias]:
        if isinstance(each, str):
            yield each


def _takes_references(annotation: Any) -> bool:
    if inner := get_args(annotation):
        return any(map(_takes_references, inner))
    return isinstance(annotation, type) and issubclass(annotation, BlobReference)
