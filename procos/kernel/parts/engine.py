"""The Camunda 7 engine: our jar, built when it is not there yet, on a port of its own with an H2 file or PostgreSQL."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import procos
from procos.domain.errors import ProcosError, UnreachableError
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.kernel.part import Command, Name, Part
from procos.kernel.parts.environment import service_environment
from procos.kernel.ports import LOOPBACK, moved
from procos.kernel.probes import LIMIT, HttpProbe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.kernel.ports import Ports
    from procos.kernel.state import StackFolder
    from procos.settings import EngineSettings, Settings

BUILD = Path(procos.__file__).resolve().parents[1] / "deploy" / "engine" / "build.sh"
LEAST_JAVA = 17
"""What Spring Boot 3 asks for."""
VERSION_SECONDS = 10.0
VERSION = re.compile(r'version "(?:1\.)?(\d+)')
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # compared with, never bound to


def external_engine(engine: EngineSettings) -> Part:
    """Describe an engine that runs elsewhere.

    Raises:
        SettingsError: the settings do not say in one way how it is called.
    """
    return Part(
        name=Name.ENGINE,
        address=engine.url,
        probe=_CallProbe(engine=HttpEngine(Transport(engine.model_copy(update={"timeout": LIMIT})))),
        is_external=True,
        set_by="PROCOS_ENGINE_URL",
    )


def engine_part(settings: Settings, *, folder: StackFolder, ports: Ports) -> Part:
    """Describe an engine started here."""
    port = ports.choose(settings.engine.port)
    host = LOOPBACK if settings.engine.address == ANY_ADDRESS else settings.engine.address
    url = f"http://{host}:{port}/engine-rest"
    jar = settings.engine.jar
    return Part(
        name=Name.ENGINE,
        address=url,
        probe=_probe(settings.engine, url),
        port=port,
        build=None if jar else _build(settings),
        launch=lambda built: _command(settings.engine, jar=str(jar or built), port=port, folder=folder),
        grace=timedelta(seconds=15),
        provides={"PROCOS_ENGINE_URL": url},
        note=", ".join(filter(None, [f"Cockpit http://{host}:{port}/camunda/app/cockpit/",
                                     moved(settings.engine.port, port)])),
    )  # fmt: skip


def missing_for_engine(settings: Settings) -> Iterator[str]:
    """Name what an engine started here would need and does not find, with the cure."""
    version = installed_java()
    if version is None or version < LEAST_JAVA:
        found = "is missing" if version is None else f"is needed, and {_java()} is Java {version}"
        yield (
            f"engine: Java {LEAST_JAVA} or newer {found}: install it (apt-get install openjdk-17-jdk-headless) and "
            "let JAVA_HOME name it, or name a running engine with PROCOS_ENGINE_URL"
        )
    if settings.engine.jar is not None and not settings.engine.jar.is_file():
        yield f"engine: there is no jar at {settings.engine.jar} (PROCOS_ENGINE_JAR)"
    if settings.engine.jar is None and not BUILD.is_file():
        yield "engine: this installation cannot build the engine: set PROCOS_ENGINE_JAR, or PROCOS_ENGINE_URL"


def _build(settings: Settings) -> Command:
    cache = {"PROCOS_CACHE_DIR": str(settings.cache_dir.resolve())} if settings.cache_dir else {}
    return Command(
        arguments=(str(BUILD),),
        environment=service_environment(**cache),
        directory=BUILD.parent,
    )


def _command(engine: EngineSettings, *, jar: str, port: int, folder: StackFolder) -> Command:
    home = folder.data(Name.ENGINE)
    return Command(
        arguments=(
            _java() or "java", f"-Xmx{engine.heap}", "-XX:+UseSerialGC", "-Duser.timezone=UTC",
            "-jar", str(Path(jar).resolve()),
        ),
        environment=service_environment(**_environment(engine, port=port, data=engine.data or home)),
        # Not the user's folder: Spring reads configuration files it finds where it is started.
        directory=home,
    )  # fmt: skip


def _environment(engine: EngineSettings, *, port: int, data: Path) -> dict[str, str]:
    values = {
        "PROCOS_ENGINE_PORT": str(port),
        "PROCOS_ENGINE_ADDRESS": engine.address,
        "PROCOS_ENGINE_BULK_VERDICTS": str(engine.bulk_verdicts).lower(),
        "PROCOS_ENGINE_DATA": str(data.resolve()),
        "PROCOS_ENGINE_USER": engine.user,
        "PROCOS_ENGINE_PASSWORD": engine.password.get_secret_value() if engine.password else None,
        "PROCOS_ENGINE_DB_URL": engine.db_url.get_secret_value() if engine.db_url else None,
        "PROCOS_ENGINE_DB_USER": engine.db_user,
        "PROCOS_ENGINE_DB_PASSWORD": engine.db_password.get_secret_value() if engine.db_password else None,
    }
    return {name: value for name, value in values.items() if value}


def _probe(engine: EngineSettings, url: str) -> HttpProbe:
    """Ask an engine started here, which knows user and password and no other way in."""
    login = (engine.user, engine.password.get_secret_value()) if engine.user and engine.password else None
    return HttpProbe(url=f"{url}/version", login=login)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CallProbe:
    """Healthy when an engine elsewhere answers its clients: by token, OAuth2 or certificate, as they call it."""

    engine: HttpEngine

    def check(self) -> str | None:
        """Return why the engine does not answer, or None."""
        try:
            self.engine.version()
        except UnreachableError as error:
            return error.reason
        except ProcosError as error:
            return str(error)
        return None


def installed_java() -> int | None:
    """Return the major version of the Java an engine started here would run on, if there is one."""
    return java_version(_java())


def _java() -> str | None:
    # As the JVM's own tools do: JAVA_HOME names the one to use, else the first on the path.
    home = service_environment().get("JAVA_HOME")
    return shutil.which(f"{home}/bin/java") if home else shutil.which("java")


def java_version(java: str | None) -> int | None:
    """Return the major version of a Java, or None where there is none that runs."""
    if java is None:
        return None
    try:
        asked = subprocess.run(  # noqa: S603  # the one that will run the engine
            [java, "-version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = VERSION.search(asked.stderr)
    return int(found.group(1)) if found else None
