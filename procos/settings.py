"""The settings of every part: one frozen tree, read from the environment (and `.env`) alone.

`PROCOS_<SECTION>_<FIELD>` sets a field, for example `PROCOS_ENGINE_URL`. The names hosting platforms and the ProcOS
guide use (`RABBITMQ_URL`, `REDIS_URL`, `CAMUNDA_URL`, …) are accepted as aliases; a PROCOS_ value wins. What users name
themselves stands behind two underscores: `PROCOS_PROVIDERS__<NAME>__<FIELD>`. `load_settings` is called by `procos.app`
and `procos.cli` only; everything else is handed the part of the tree it needs.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from procos.domain.errors import SettingsError
from procos.environment_names import PREFIX, given
from procos.named_settings import is_named_by_user, named_by_users, wrong_names
from procos.provider_sections import AiSettings, OllamaSettings, OpenaiSettings, ProviderSettings
from procos.setting_sections import (
    BlobSettings,
    BridgeSettings,
    BrokerSettings,
    EngineSettings,
    FlowerSettings,
    KernelSettings,
    LogSettings,
    Names,
    NotificationSettings,
    RedisSettings,
    SecretsSettings,
    WorkerSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "AiSettings",
    "BlobSettings",
    "BridgeSettings",
    "BrokerSettings",
    "EngineSettings",
    "FlowerSettings",
    "KernelSettings",
    "LogSettings",
    "NotificationSettings",
    "OllamaSettings",
    "OpenaiSettings",
    "ProviderSettings",
    "RedisSettings",
    "SecretsSettings",
    "Settings",
    "WorkerSettings",
    "known_names",
    "load_settings",
]


NOT_NAMES = {"PROCOS_SET_BY_USER", "PROCOS_PROVIDERS", "PROCOS_CONNECTIONS", "PROCOS_NAMED_SECRETS"}
"""What fields of the tree would be called, though no environment sets them."""
NAMED_GROUPS = {"providers", "connections", "named_secrets"}


class Settings(BaseSettings):
    """The whole tree; build it with `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    engine: EngineSettings = EngineSettings()
    broker: BrokerSettings = BrokerSettings()
    redis: RedisSettings = RedisSettings()
    bridge: BridgeSettings = Field(default_factory=BridgeSettings)
    kernel: KernelSettings = KernelSettings()
    worker: WorkerSettings = WorkerSettings()
    openai: OpenaiSettings = OpenaiSettings()
    ollama: OllamaSettings = OllamaSettings()
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    ai: AiSettings = AiSettings()
    connections: dict[str, dict[str, SecretStr]] = Field(default_factory=dict)
    connection_directory: Path | None = Field(None, description="Folder of connections, one TOML or JSON file each.")
    secrets: SecretsSettings = SecretsSettings()
    named_secrets: dict[str, SecretStr] = Field(default_factory=dict, exclude=True)
    blobs: BlobSettings = BlobSettings()
    notification: NotificationSettings = NotificationSettings()
    flower: FlowerSettings = FlowerSettings()
    log: LogSettings = LogSettings()
    process_directory: Path = Field(Path("processes"), description="Folder of the process models.")
    schema_directory: Path | None = Field(None, description="Folder of JSON Schemas that steps name.")
    request_kinds: Names = Field((), description="What users may ask for; all that says what it takes, if unset.")
    startup_timeout: float = Field(120.0, gt=0, description="Seconds a part of the local stack may take to come up.")
    health_check_interval: float = Field(
        10.0, gt=0, description="Seconds within which a part of the local stack that fails is seen."
    )
    state_directory: Path = Field(Path(".procos"), description="Folder of pids, logs and data of the local stack.")
    cache_dir: Path | None = Field(None, description="Folder of the built engine jar; default under ~/.cache.")
    set_by_user: frozenset[str] = Field(frozenset(), description="The names that were set.", exclude=True)

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # the sources we leave out need no names
        cls, _settings: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_others: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load_settings` gathered, and nothing beside it."""
        return (init_settings,)

    def is_set(self, name: str) -> bool:
        """Whether the user set this PROCOS_ name, or an alias of it."""
        return name in self.set_by_user


def load_settings(environ: Mapping[str, str] | None = None, *, dotenv: Path | None = Path(".env")) -> Settings:
    """Read the settings from the environment, and from `.env` below it.

    Raises:
        SettingsError: a PROCOS_ name is unknown, or a value is not what its field expects.
    """
    found = given(environ, dotenv, known=known_names())
    named = {name: value for name, value in found.items() if is_named_by_user(name)}
    fixed = {name: value for name, value in found.items() if name not in named}
    unknown = [_unknown(name) for name in sorted(fixed) if name not in known_names()]
    if unknown := [*unknown, *wrong_names(sorted(named))]:
        raise SettingsError(unknown)
    try:
        return Settings(**_nested(fixed), **named_by_users(named), set_by_user=frozenset(found))
    except ValidationError as error:
        raise SettingsError(list(_problems(error))) from error


@cache
def known_names() -> frozenset[str]:
    """Every PROCOS_ name there is."""
    return frozenset(_names(Settings, PREFIX)) - NOT_NAMES


def _nested(found: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in found.items()}
    return source()


def _names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from _names(section, f"{prefix}{name.upper()}_")
        else:
            yield f"{prefix}{name.upper()}"


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, known_names(), n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def _problems(error: ValidationError) -> Iterable[str]:
    for problem in error.errors(include_url=False, include_input=False):
        name = PREFIX + _place(problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        yield text if text.startswith(PREFIX) else f"{name}: {text}"


def _place(way: tuple[int | str, ...]) -> str:
    divider = "__" if way[0] in NAMED_GROUPS else "_"
    return divider.join(str(part).upper() for part in way).replace("NAMED_SECRETS", "SECRETS")
