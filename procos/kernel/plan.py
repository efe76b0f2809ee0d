"""Decides which parts there are: what is started here, what runs elsewhere, on which ports, and who is told about whom.

What has an address in the settings is never started. Nothing is started by making a plan, but ports are looked for and
passwords made up; whatever is missing on this machine is found here, all at once, before the first part starts.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from procos.domain.errors import SettingsError, UsageError
from procos.kernel.boot.farewell import take_leave
from procos.kernel.part import Name
from procos.kernel.parts import broker, engine, model, programs, redis
from procos.kernel.parts.blobs import blob_environment
from procos.kernel.parts.environment import own_environment
from procos.kernel.parts.flower import flower_part, missing_for_flower
from procos.kernel.parts.kernel import kernel_part
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from procos.kernel.part import Part
    from procos.kernel.ports import Ports
    from procos.kernel.state import StackFolder
    from procos.settings import Settings

NEEDS: Mapping[Name, tuple[Name, ...]] = {
    Name.BRIDGE: (Name.ENGINE, Name.BROKER, Name.REDIS),
    Name.WORKER_AI: (Name.BROKER, Name.REDIS),
    Name.WORKER_GENERIC: (Name.BROKER, Name.REDIS),
    Name.FLOWER: (Name.BROKER,),
}
SET_BY: Mapping[Name, tuple[str, ...]] = {
    Name.ENGINE: ("PROCOS_ENGINE_URL",),
    Name.BROKER: ("PROCOS_BROKER_URL",),
    Name.REDIS: ("PROCOS_REDIS_URL",),
    Name.MODEL: ("PROCOS_OPENAI_BASE_URL", "PROCOS_OPENAI_API_KEY", "PROCOS_OLLAMA_URL"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The parts in their order, and the PROCOS_ names by which other commands find them."""

    parts: tuple[Part, ...]
    environment: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    farewell: Callable[[Callable[[float], bool]], str] | None = None
    """What is done before the first part is stopped; it is handed what lets seconds pass and says whether to hurry."""


def chosen(settings: Settings, only: Sequence[str] = ()) -> tuple[Name, ...]:
    """Return the parts to bring up, those that run elsewhere and are needed included.

    Raises:
        UsageError: a name is not a part, or what a part needs is neither chosen nor set.
    """
    if not only:
        return tuple(Name)
    names = {_name(text) for text in only}
    needed = {need for name in names for need in NEEDS.get(name, ())} - names
    lacking = sorted(need for need in needed if not is_external(settings, need))
    if lacking:
        wanting = ", ".join(name for name in Name if name in names and set(NEEDS.get(name, ())) & set(lacking))
        named = " and ".join(SET_BY[need][0] for need in lacking)
        raise UsageError(f"{wanting} cannot run without {' and '.join(lacking)}: add to --only, or set {named}")
    return tuple(name for name in Name if name in names | needed)


def is_external(settings: Settings, name: Name) -> bool:
    """Whether the user has said where this part runs."""
    return any(settings.is_set(setting) for setting in SET_BY.get(name, ()))


def check(settings: Settings, only: Sequence[str] = ()) -> tuple[Name, ...]:
    """Return the parts to bring up, when they can be.

    Raises:
        UsageError: the choice of parts cannot work.
        SettingsError: something a part needs is missing on this machine; all of it is named.
    """
    names = chosen(settings, only)
    if missing := list(_missing(settings, names)):
        raise SettingsError(missing)
    return names


def make_plan(settings: Settings, *, folder: StackFolder, ports: Ports, only: Sequence[str] = ()) -> Plan:
    """Decide on every part.

    Raises:
        UsageError: the choice of parts cannot work.
        SettingsError: something a part needs is missing on this machine.
    """
    names = check(settings, only)
    services = _services(settings, names, folder=folder, ports=ports)
    blobs = blob_environment(settings, folder=folder)
    provided = {**blobs, **{name: value for part in services for name, value in part.provides.items()}}
    around = programs.Surroundings(
        provided=provided,
        settings=settings_with(provided),
        directory=Path.cwd(),
    )
    has_kernel = _is_started(settings, names, Name.ENGINE) and all(
        need in names or is_external(settings, need) for need in (Name.BROKER, Name.REDIS)
    )
    if has_kernel:
        services = [kernel_part(each, around, ports=ports) if each.name is Name.ENGINE else each for each in services]
    parts = [*services, *_programs(around, names, folder=folder, ports=ports)]
    return Plan(
        farewell=partial(take_leave, around.settings) if has_kernel and settings.kernel.farewell else None,
        parts=tuple(sorted(parts, key=lambda part: list(Name).index(part.name))),
        environment={**blobs, **{name: value for part in parts for name, value in part.provides.items()}},
        warnings=tuple(broker.warnings() if _is_started(settings, names, Name.BROKER) else ()),
    )


def settings_with(provided: Mapping[str, str]) -> Settings:
    """Return the settings as our own programs will read them."""
    return load_settings(own_environment(provided))


def _services(settings: Settings, names: Sequence[Name], *, folder: StackFolder, ports: Ports) -> list[Part]:
    made: list[Part] = []
    # Redis before the broker, which may be one of its databases.
    for name in (Name.REDIS, Name.ENGINE, Name.BROKER, Name.MODEL):
        if _is_started(settings, names, name):
            redis_here = next((part for part in made if part.name is Name.REDIS and part.launch), None)
            made.append(_here(name, settings, folder=folder, ports=ports, redis_here=redis_here))
        elif name in names:
            made.append(_elsewhere(name, settings))
    return made


def _is_started(settings: Settings, names: Sequence[Name], name: Name) -> bool:
    return name in names and not is_external(settings, name)


def _elsewhere(name: Name, settings: Settings) -> Part:
    if name is Name.ENGINE:
        return engine.external_engine(settings.engine)
    if name is Name.BROKER:
        return broker.external_broker(settings.broker)
    if name is Name.REDIS:
        return redis.external_redis(settings.redis)
    return model.external_model(settings)


def _here(name: Name, settings: Settings, *, folder: StackFolder, ports: Ports, redis_here: Part | None) -> Part:
    if name is Name.ENGINE:
        return engine.engine_part(settings, folder=folder, ports=ports)
    if name is Name.BROKER:
        return broker.broker_part(folder=folder, ports=ports, redis_here=redis_here)
    if name is Name.REDIS:
        return redis.redis_part(folder=folder, ports=ports)
    return model.model_part(settings, ports=ports, directory=Path.cwd())


def _programs(
    around: programs.Surroundings, names: Sequence[Name], *, folder: StackFolder, ports: Ports
) -> Iterator[Part]:
    if Name.BRIDGE in names:
        yield programs.bridge_part(around, ports=ports)
    if Name.WORKER_AI in names:
        yield programs.ai_worker(around)
    if Name.WORKER_GENERIC in names:
        yield programs.generic_worker(around)
    if Name.FLOWER in names:
        yield flower_part(around, folder=folder, ports=ports)


def _missing(settings: Settings, names: Sequence[Name]) -> Iterator[str]:
    if _is_started(settings, names, Name.ENGINE):
        yield from engine.missing_for_engine(settings)
    if _is_started(settings, names, Name.REDIS) or _needs_valkey(settings, names):
        yield from redis.missing_for_redis()
    if _is_started(settings, names, Name.MODEL):
        yield from model.missing_for_model()
    if Name.FLOWER in names:
        yield from missing_for_flower()


def _needs_valkey(settings: Settings, names: Sequence[Name]) -> bool:
    return _is_started(settings, names, Name.BROKER) and bool(broker.warnings())


def _name(text: str) -> Name:
    try:
        return Name(text)
    except ValueError:
        near = difflib.get_close_matches(text, list(Name), n=1)
        guess = f"did you mean {near[0]}?" if near else f"the parts are {', '.join(Name)}"
        raise UsageError(f"{text} is not a part of the stack; {guess}") from None
