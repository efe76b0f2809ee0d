"""Makes the bridge's parts and puts them together; `daemon` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bridge import lease_keeper, orphans, poller, presence, reconciler, succession, unserved, watcher
from bridge.budget import TURN_SECONDS, Budget, observe_all
from bridge.bulk_reporter import BulkReporter
from bridge.callbacks import Callbacks
from bridge.dead_letters import DeadLetters
from bridge.dispatcher import Dispatcher
from bridge.model_constants import ModelConstants
from bridge.periodic import Periodic
from bridge.publisher import CeleryPublisher
from bridge.reporter import Reporter
from bridge.revoker import CeleryRevoker
from bridge.unclaimed import Unclaimed
from procos.app import make_app
from procos.blobs.store import check_driver
from procos.caps import all_caps, groups
from procos.engine.subscription import Filter
from procos.queues import PARKED, Queue, depths
from procos.routes import by_queue, routes

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from bridge.heartbeats import Heartbeats
    from bridge.ledger import Ledger
    from bridge.registry import Registry
    from procos.domain.external_task import ExternalTaskId, Topic
    from procos.engine.http import HttpEngine
    from procos.queues import QueueDepth
    from procos.routes import Route
    from procos.settings import Settings

UNSERVED = "unserved"
"""Stands for a queue in the worker id of the poller that looks for topics without a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What every part is made of."""

    settings: Settings
    engine: HttpEngine
    ledger: Ledger
    registry: Registry
    heartbeats: Heartbeats
    stop: threading.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that runs, each on a thread of its own."""

    pollers: tuple[poller.Poller, ...]
    callbacks: Callbacks
    dead_letters: DeadLetters
    presence: presence.Presence
    orphans: orphans.Orphans
    jobs: tuple[Periodic, ...]
    fetching_jobs: tuple[Periodic, ...]
    """Those that bring new work in, which a bridge that is being drained leaves alone."""


def wire(shared: Shared) -> Parts:
    """Make every part.

    Raises:
        SettingsError: there is no driver for the blob store.
    """
    settings, ledger = shared.settings, shared.ledger
    check_driver(settings.blobs)
    app = make_app(settings, with_results=False)
    new_publisher = partial(
        CeleryPublisher,
        app,
        confirm_timeout=settings.broker.confirm_timeout,
        time_limit=timedelta(seconds=settings.worker.time_limit),
    )
    dispatchers = {queue: _dispatcher(shared, queue, new_publisher()) for queue in (*by_queue(), UNSERVED)}
    reporter = _reporter(shared)
    unclaimed = _unclaimed(shared, dispatchers)
    finder = _orphans(shared, unclaimed)
    present = presence.Presence(
        shared.registry,
        settings.bridge.replica_id,
        holders(shared),
        recover=finder.recover,
        leave=shared.stop.set,
    )
    pollers = _pollers(shared, dispatchers)
    return Parts(
        pollers=pollers,
        callbacks=Callbacks(
            reporter,
            BulkReporter(shared.engine, ledger, reporter, is_wanted=settings.bridge.bulk_verdicts),
            ledger,
            settings.broker,
            completers=settings.bridge.completers,
            queues=by_queue(),
        ),
        dead_letters=DeadLetters(reporter, ledger, settings.broker, queues=by_queue()),
        presence=present,
        orphans=finder,
        jobs=_jobs(shared, present, reporter, CeleryRevoker(app, settings.broker)),
        fetching_jobs=_fetching_jobs(shared, finder, unclaimed, pollers, dispatchers[UNSERVED]),
    )


def _reporter(shared: Shared) -> Reporter:
    return Reporter(
        shared.engine,
        shared.ledger,
        routes(),
        is_ours=shared.registry.is_ours,
        largest_age=timedelta(seconds=shared.settings.bridge.largest_age),
        blobs=shared.settings.blobs,
        stop=shared.stop,
    )


def _jobs(
    shared: Shared, present: presence.Presence, reporter: Reporter, revoker: CeleryRevoker
) -> tuple[Periodic, ...]:
    bridge, engine, ledger, beat = shared.settings.bridge, shared.engine, shared.ledger, shared.heartbeats.beat
    keeper = lease_keeper.LeaseKeeper(
        engine, ledger, by_queue(), lock_duration=timedelta(seconds=bridge.lock_duration), beat=beat
    )
    watching = watcher.Watcher(
        engine, ledger, revoker, by_queue(), lock_duration=timedelta(seconds=bridge.lock_duration), beat=beat
    )
    reconciling = reconciler.Reconciler(
        engine,
        ledger,
        reporter,
        routes(),
        queues=by_queue(),
        depths=_depths(shared.settings),
        lost_after=timedelta(seconds=bridge.lost_after),
        largest_age=timedelta(seconds=bridge.largest_age),
        beat=beat,
    )
    return (
        Periodic(name="presence", turn=present.turn, seconds=presence.TURN_SECONDS),
        Periodic(name="lease-keeper", turn=partial(keeper.turn, shared.stop), seconds=lease_keeper.TURN_SECONDS),
        Periodic(name="watcher", turn=watching.turn, seconds=watcher.TURN_SECONDS, shared_by=shared.registry),
        Periodic(name="reconciler", turn=reconciling.turn, seconds=reconciler.TURN_SECONDS, shared_by=shared.registry),
    )


def _fetching_jobs(
    shared: Shared,
    finder: orphans.Orphans,
    unclaimed: Unclaimed,
    pollers: Sequence[poller.Poller],
    dispatcher: Dispatcher,
) -> tuple[Periodic, ...]:
    retries = poller.Retries(shared.ledger, pollers, beat=shared.heartbeats.beat)
    heir = succession.Succession(shared.engine, shared.registry, unclaimed, by_queue(), beat=shared.heartbeats.beat)
    budgets = {each.queue: each.budget for each in pollers}
    jobs = [
        Periodic(name="budgets", turn=partial(observe_all, budgets.values()), seconds=TURN_SECONDS),
        Periodic(name="retries", turn=partial(retries.turn, shared.stop), seconds=poller.RETRY_CHECK_SECONDS),
        Periodic(name="orphans", turn=finder.turn, seconds=orphans.TURN_SECONDS),
        Periodic(name="succession", turn=heir.turn, seconds=succession.TURN_SECONDS, shared_by=shared.registry),
    ]
    bridge = shared.settings.bridge
    if bridge.unknown_topics == "fail":
        seeker = unserved.UnservedTopics(
            shared.engine,
            shared.engine.open_topics,
            dispatcher,
            routes(),
            holder=holders(shared).of(UNSERVED),
            only=_filter(shared),
        )
        jobs.append(Periodic(name="unserved", turn=seeker.turn, seconds=unserved.TURN_SECONDS))
    return tuple(jobs)


def holders(shared: Shared) -> orphans.Holders:
    """Return this bridge's worker ids."""
    return orphans.Holders(
        replica_id=shared.settings.bridge.replica_id,
        queues=tuple(by_queue()),
        groups={queue: tuple(groups(topics, all_caps())) for queue, topics in by_queue().items()},
    )


def _orphans(shared: Shared, unclaimed: Unclaimed) -> orphans.Orphans:
    return orphans.Orphans(
        shared.engine,
        shared.ledger,
        shared.registry,
        unclaimed,
        holders(shared),
        lock_duration=timedelta(seconds=shared.settings.bridge.lock_duration),
    )


def _unclaimed(shared: Shared, dispatchers: Mapping[str, Dispatcher]) -> Unclaimed:
    def has_in_hand(external_task_id: ExternalTaskId) -> bool:
        return any(dispatcher.has_in_hand(external_task_id) for dispatcher in dispatchers.values())

    return Unclaimed(
        shared.engine,
        shared.ledger,
        has_in_hand=has_in_hand,
        lock_duration=timedelta(seconds=shared.settings.bridge.lock_duration),
        beat=shared.heartbeats.beat,
    )


def _pollers(shared: Shared, dispatchers: Mapping[str, Dispatcher]) -> tuple[poller.Poller, ...]:
    bridge = shared.settings.bridge
    budgets = {
        queue: Budget(shared.ledger, queue, capacity=bridge.capacity, least=bridge.least_in_flight)
        for queue in by_queue()
    }
    return tuple(
        _poller(shared, budgets[queue], group, served, dispatchers[queue])
        for queue, topics in by_queue().items()
        for group, served in groups(topics, all_caps()).items()
    )


def _poller(
    shared: Shared, budget: Budget, group: str, served: Mapping[Topic, Route], dispatcher: Dispatcher
) -> poller.Poller:
    bridge = shared.settings.bridge
    return poller.Poller(
        shared.engine,
        dispatcher,
        served,
        budget,
        holder=holders(shared).of(budget.queue, group),
        caps=all_caps().get(next(iter(served)), ()),
        lock_duration=timedelta(seconds=bridge.lock_duration),
        wait=timedelta(seconds=bridge.poll_timeout),
        only=_filter(shared),
    )


def _dispatcher(shared: Shared, queue: str, publisher: CeleryPublisher) -> Dispatcher:
    return Dispatcher(
        shared.engine,
        shared.ledger,
        publisher,
        routes(),
        queue=queue,
        lease=timedelta(seconds=shared.settings.bridge.lock_duration),
        largest_input=shared.settings.bridge.largest_input,
        blobs=shared.settings.blobs,
        constants=ModelConstants(shared.settings.secrets.allowed, shared.engine.input_constants),
        stop=shared.stop,
        beat=shared.heartbeats.beat,
        heartbeats=shared.heartbeats,
    )


def _filter(shared: Shared) -> Filter:
    bridge = shared.settings.bridge
    return Filter(tenants=bridge.tenants, process_keys=bridge.process_keys, business_key=bridge.business_key)


def _depths(settings: Settings) -> Callable[[], Mapping[str, QueueDepth]]:
    return lambda: depths(settings.broker, [*by_queue(), Queue.CALLBACKS, PARKED])
