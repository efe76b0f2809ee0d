"""Flower, the view of the workers: always behind a login, read-only, and on loopback unless told otherwise.

Its credentials come from the settings, or are made up once per state directory; they travel in the environment alone.
"""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from procos.domain.errors import SettingsError
from procos.kernel.part import Command, Name, Part
from procos.kernel.parts.environment import own_environment, python
from procos.kernel.parts.programs import CELERY
from procos.kernel.ports import moved
from procos.kernel.probes import HttpProbe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from procos.kernel.parts.programs import Surroundings
    from procos.kernel.ports import Ports
    from procos.kernel.state import StackFolder
    from procos.settings import FlowerSettings

COLUMNS = "name,uuid,state,kwargs,result,received,started,runtime,worker"
MOST_TASKS = 20_000
PASSWORD = "flower_password"  # noqa: S105  # the name of the file that holds it
COMMAND = python(*CELERY, "flower")


def flower_part(around: Surroundings, *, folder: StackFolder, ports: Ports) -> Part:
    """Describe Flower as a part of the local stack."""
    flower = around.settings.flower
    port = ports.choose(flower.port)
    address = f"http://{flower.address}:{port}/"
    environment = {**around.provided, **flower_environment(flower, port=port, folder=folder)}
    where = "PROCOS_FLOWER_PASSWORD" if flower.password else str(folder.secret_file(PASSWORD))
    return Part(
        name=Name.FLOWER,
        address=address,
        probe=HttpProbe(url=f"{address}healthcheck"),
        port=port,
        needs=frozenset({Name.BROKER}),
        launch=lambda _: Command(
            arguments=COMMAND, environment=own_environment(environment), directory=around.directory
        ),
        provides={"PROCOS_FLOWER_PORT": str(port)},
        note=", ".join(filter(None, [f"user {flower.user}, password in {where}", moved(flower.port, port)])),
    )


def flower_environment(flower: FlowerSettings, *, port: int, folder: StackFolder) -> Mapping[str, str]:
    """Return what Flower reads its options from.

    Raises:
        SettingsError: Flower could not read the login.
    """
    password = flower.password.get_secret_value() if flower.password else folder.secret(PASSWORD)
    if {",", ":"} & set(flower.user) or "," in password:
        # Flower splits its list of logins at commas, and a login at its first colon.
        raise SettingsError(["PROCOS_FLOWER_USER and PROCOS_FLOWER_PASSWORD: without commas, the user without colons"])
    return {
        "FLOWER_ADDRESS": flower.address,
        "FLOWER_PORT": str(port),
        "FLOWER_BASIC_AUTH": f"{flower.user}:{password}",
        "FLOWER_READ_ONLY": "true",
        "FLOWER_TASKS_COLUMNS": COLUMNS,
        "FLOWER_MAX_TASKS": str(MOST_TASKS),
        # Flower would else execute a flowerconfig.py it finds in the folder it is started in.
        "FLOWER_CONF": os.devnull,
    }


def missing_for_flower() -> Iterator[str]:
    """Name what Flower would need and does not find, with the cure."""
    if importlib.util.find_spec("flower") is None:
        yield "flower: not installed: pip install flower, or leave it out with --only"
