"""`procos kernel`, `bridge`, `worker` and `flower`: run one part in the foreground, as a Procfile does."""

from __future__ import annotations

import os
import sys

import click


@click.command()
def kernel() -> None:
    """Boot the system in six phases and watch over its engine until SIGTERM.

    It needs broker and Redis. With PROCOS_ENGINE_URL it attaches to that engine, without it it starts one here.
    """
    from procos.credentials import credentials_in
    from procos.domain.errors import PartFailedError, UsageError
    from procos.kernel.boot.announcer import Announcer
    from procos.kernel.boot.microkernel import Microkernel
    from procos.kernel.state import KERNEL, StackFolder
    from procos.logs import configure_logs
    from procos.settings import load_settings

    # Not those of a running stack: its engine would be attached to, and may be the one that is to be started.
    chosen = load_settings()
    configure_logs(chosen.log, secrets=credentials_in(chosen))
    folder = StackFolder(chosen.state_directory, owner=KERNEL)
    folder.create()
    with folder.locked() as is_ours:
        if not is_ours:
            raise UsageError(f"a kernel runs already in {folder.root} (pid {folder.owner_pid()})")
        try:
            Microkernel(chosen, folder=folder, announcer=Announcer()).run()
        except PartFailedError as error:
            if error.log_tail:
                click.echo(f"\nthe end of {folder.log(error.part)}:\n{error.log_tail}\n", err=True)
            raise


@click.command()
@click.option("--drain", is_flag=True, help="Fetch nothing, see what is in flight to its end, then exit.")
def bridge(*, drain: bool) -> None:
    """Run the bridge in the foreground until SIGTERM."""
    from bridge.daemon import run_bridge
    from procos.cli.environment import settings
    from procos.credentials import credentials_in
    from procos.logs import configure_logs

    chosen = settings()
    configure_logs(chosen.log, secrets=credentials_in(chosen))
    run_bridge(chosen, drain=drain)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Run a Celery worker in the foreground; takes the options of `celery worker`."""
    from procos.kernel.surroundings import environment

    command = [sys.executable, "-m", "celery", "-A", "procos.app", "worker", *arguments]
    os.execve(sys.executable, command, dict(environment()))  # noqa: S606  # no shell, our own interpreter


@click.command()
def flower() -> None:
    """Run Flower in the foreground, behind a login and read-only."""
    from procos.cli.environment import settings
    from procos.kernel.parts.flower import COMMAND, PASSWORD, flower_environment
    from procos.kernel.state import StackFolder
    from procos.kernel.surroundings import environment

    chosen = settings()
    folder = StackFolder(chosen.state_directory)
    folder.create()
    options = flower_environment(chosen.flower, port=chosen.flower.port, folder=folder)
    where = "PROCOS_FLOWER_PASSWORD" if chosen.flower.password else folder.secret_file(PASSWORD)
    click.echo(f"Flower: user {chosen.flower.user}, password in {where}", err=True)
    os.execve(sys.executable, list(COMMAND), {**environment(), **options})  # noqa: S606  # the same
