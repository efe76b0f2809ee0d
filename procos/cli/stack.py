"""`procos up`, `procos down` and `procos status`: the local stack, in the foreground or in the background.

The work is done by `procos.kernel`; here are the arguments, the exit codes, and who waits for what.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from procos.cli.instance_status import show_instance
from procos.credentials import credentials_in
from procos.domain.errors import PartFailedError, UnreachableError, UsageError
from procos.kernel import background, tables
from procos.kernel.leftovers import lives
from procos.kernel.plan import check, settings_with
from procos.kernel.run import run_stack
from procos.kernel.stack import Phase
from procos.kernel.state import KERNEL, StackFolder
from procos.kernel.terminal import Progress
from procos.kernel.work_view import Work, work_of
from procos.logs import configure_logs
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.kernel.stack import Failure, StackState
    from procos.settings import Settings

UNREACHABLE = 3


@click.command()
@click.option("--detach", "-d", is_flag=True, help="Return when all is healthy; the stack runs on.")
@click.option("--only", multiple=True, metavar="PART…", help="Bring up these parts alone: --only broker redis.")
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON when all is healthy.")
@click.argument("more", nargs=-1, metavar="")
def up(*, detach: bool, only: tuple[str, ...], as_json: bool, more: tuple[str, ...]) -> None:
    """Start the local stack and watch over it until Ctrl-C."""
    if more and not only:
        raise UsageError(f"what is {more[0]} for? Parts are named after --only")
    settings, names = load_settings(), (*only, *more)
    check(settings, names)
    folder = StackFolder(settings.state_directory)
    folder.create()
    if folder.is_running():
        _join(folder, as_json=as_json)
    elif detach:
        _start_detached(settings, folder, names, as_json=as_json)
    else:
        _supervise(settings, folder, names, as_json=as_json)


@click.command()
def down() -> None:
    """Stop the local stack."""
    settings = load_settings()
    folder = StackFolder(settings.state_directory)
    with Progress(known=folder.state()) as progress:
        stopped = background.stop(folder, settings=settings, observer=progress)
    if folder.is_running():
        raise PartFailedError(background.SUPERVISOR, "is still running")
    click.echo("stopped" if stopped else "not running", err=True)


@click.command()
@click.option("--instance", "instance_id", metavar="ID", help="Show the steps of this process instance instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def status(*, instance_id: str | None, as_json: bool) -> None:
    """Show each part of the local stack, its queues, and what is in flight; or where one instance is."""
    if instance_id is not None:
        show_instance(instance_id, as_json=as_json)
        return
    folder = StackFolder(load_settings().state_directory)
    kernel = _kernel_of(folder)
    # A kernel of its own has an engine to show, without a stack around it.
    state = folder.state() if folder.is_running() else kernel
    if state is None:
        click.echo(_json(None) if as_json else f"not running{_last_words(folder)}; start it with `procos up`")
        raise SystemExit(UNREACHABLE)
    state = state.seen_through(kernel)
    work = work_of(settings_with(folder.environment()), [part.name for part in state.parts])
    if as_json:
        click.echo(_json(state, work, kernel=kernel))
    else:
        tables.print_status(state, work)
    for trouble in work.troubles:
        click.echo(trouble, err=True)
    if work.troubles or not all(part.is_healthy for part in state.parts):
        raise SystemExit(UNREACHABLE)


def _kernel_of(folder: StackFolder) -> StackState | None:
    """Return what the kernel says of the engine it keeps, if one runs."""
    state = StackFolder(folder.root, owner=KERNEL).state()
    return state if state is not None and lives(state.pid, state.created) else None


class _Announcer:
    """Shows how the stack comes up, and once it is up, where everything is."""

    def __init__(self, progress: Progress, *, as_json: bool) -> None:
        self._progress = progress
        self._as_json = as_json
        self._has_announced = False

    def show(self, state: StackState) -> None:
        self._progress.show(state)
        if state.phase is Phase.READY and not self._has_announced:
            self._has_announced = True
            _announce(state, as_json=self._as_json)


def _supervise(settings: Settings, folder: StackFolder, names: Sequence[str], *, as_json: bool) -> None:
    # On a terminal the progress says what the log would.
    logs = settings.log.model_copy(update={"level": "ERROR"}) if sys.stderr.isatty() else settings.log
    configure_logs(logs, secrets=credentials_in(settings))
    with folder.locked() as is_ours, Progress() as progress:
        if is_ours:
            announcer = _Announcer(progress, as_json=as_json)
            failure = run_stack(settings, folder=folder, only=names, observer=announcer)
    if not is_ours:
        _join(folder, as_json=as_json)
    elif failure is not None:
        _fail(failure)


def _start_detached(settings: Settings, folder: StackFolder, names: Sequence[str], *, as_json: bool) -> None:
    process = background.start_in_background(folder, names)
    with Progress() as progress:
        try:
            state = background.follow(folder, observer=progress, process=process)
        except KeyboardInterrupt:
            background.stop(folder, settings=settings, observer=progress)
            raise
    _conclude(state, as_json=as_json)


def _join(folder: StackFolder, *, as_json: bool) -> None:
    """Wait for a stack that another command is bringing up, and say that it runs already."""
    state = folder.state()
    if state is None or state.phase is not Phase.READY:
        with Progress() as progress:
            state = background.follow(folder, observer=progress)
    click.echo(f"running already (supervisor {state.pid})", err=True)
    _conclude(state, as_json=as_json)


def _conclude(state: StackState, *, as_json: bool) -> None:
    if state.failure is not None:
        _fail(state.failure)
    if state.phase is not Phase.READY:
        raise PartFailedError(background.SUPERVISOR, "was stopped before the stack was up")
    _announce(state, as_json=as_json)


def _announce(state: StackState, *, as_json: bool) -> None:
    if as_json:
        click.echo(_json(state))
        return
    tables.print_addresses(state)
    click.echo("\n`procos status` shows how it is, `procos down` stops it", err=True)


def _fail(failure: Failure) -> None:
    if failure.log_tail:
        click.echo(f"\nthe end of {failure.log}:\n{failure.log_tail}\n", err=True)
    if failure.is_unreachable:
        raise UnreachableError(failure.address, failure.reason)
    raise PartFailedError(failure.part, failure.reason, log_tail=failure.log_tail, exit_code=failure.exit_code)


def _last_words(folder: StackFolder) -> str:
    state = folder.state()
    return f", {state.failure.part} {state.failure.reason}" if state and state.failure else ""


def _json(state: StackState | None, work: Work | None = None, *, kernel: StackState | None = None) -> str:
    return json.dumps(tables.document(state, work, kernel=kernel), indent=2)
