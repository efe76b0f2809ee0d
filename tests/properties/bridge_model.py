"""One bridge of the real parts, over engine, ledger, registry and broker in memory.

Every call it makes to one of them is a point at which it may crash, or at which something else happens first: what a
thread of the real bridge does between two such points cannot be seen from outside.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from bridge import lease_keeper, orphans, presence, reconciler, succession, watcher
from bridge.budget import Budget
from bridge.bulk_reporter import BulkReporter
from bridge.deaths import dispatch_in, outcome_of_death
from bridge.dispatcher import Dispatcher
from bridge.disposals import Disposal, decision_on
from bridge.moving import TIMES_PARKED
from bridge.outcomes import read_callback
from bridge.parking import times_parked
from bridge.periodic import Periodic
from bridge.poller import RETRY_CHECK_SECONDS, Poller, Retries
from bridge.publisher import Receipt
from bridge.reporter import CLOSED_LATER, Reporter
from bridge.unclaimed import Unclaimed
from procos.caps import groups
from procos.domain.errors import EngineBusyError, ProcosError, UnreachableError
from procos.queues import Queue, dead
from procos.testing import FakeRegistry
from tests.properties.broker_model import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.ledger import Ledger
    from bridge.outcomes import Callback
    from bridge.publisher import Publication
    from bridge.registry import Registry
    from bridge.reporter import Verdict
    from procos.domain.external_task import Topic
    from procos.engine.protocol import Engine
    from procos.routes import Route
    from tests.properties.world import World

LIST = 3
TOLERATED = (UnreachableError, EngineBusyError)
"""What `Periodic` meets in any outage; another error that ends a turn is a defect, as long as nothing was refused."""


class Crashed(BaseException):
    """The bridge was killed."""


class Through:
    """Everything of a service, with a point before each call."""

    def __init__(self, target: object, point: Callable[[str], None]) -> None:
        self._target, self._point = target, point

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not callable(attribute):
            return attribute

        def call(*args: object, **kwargs: object) -> object:
            self._point(name)
            return attribute(*args, **kwargs)

        return call


class PassingStop(threading.Event):
    """A stop event whose waits let the world's time pass."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def wait(self, timeout: float | None = None) -> bool:
        self._world.pass_time(timeout or 0.0)
        return self.is_set()


class PublisherModel:
    """The `Publisher` protocol: does what the world has planned for the next publications."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ready(self) -> None:
        """Nothing tells the bridge beforehand what becomes of a publication."""

    def publish(self, publications: Sequence[Publication]) -> Sequence[Receipt]:
        return [self._publish(publication) for publication in publications]

    def _publish(self, publication: Publication) -> Receipt:
        plan, ref = self._world.next_publish_plan(publication.dispatch.ref), publication.dispatch.ref
        if plan.arrives:
            kwargs: Mapping[str, Any] = json.loads(json.dumps(publication.dispatch.to_kwargs()))
            headers = {"task": publication.route.task_name}
            self._world.broker.publish(Message(publication.route.queue, ref.celery_id, [], kwargs, headers))
        return plan.receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of a publication, and what the bridge learns of it."""

    receipt: Receipt = Receipt.CONFIRMED
    arrives: bool = True


class BridgeModel:
    """A running bridge; `is_up` is false once it has crashed or stopped."""

    def __init__(self, world: World, replica_id: str) -> None:
        self.world, self.replica_id = world, replica_id
        self.is_up = True
        self.is_ready = False
        self.held: list[Message] = []
        self._armed: tuple[int, Callable[[], None]] | None = None
        self._busy: list[str] = []
        self._stop = PassingStop(world)
        self._engine = cast("Engine", Through(world.engine, self._point))
        self._ledger = cast("Ledger", Through(world.ledger, self._point))
        self._own_registry = FakeRegistry(world.register)
        self._registry = cast("Registry", Through(self._own_registry, self._point))
        self._wire(world.routes)
        self._due: dict[str, int] = {}

    def _wire(self, routes: Mapping[Topic, Route]) -> None:
        world = self.world
        queues = sorted({route.queue for route in routes.values()})
        grouped = {
            queue: groups({topic: route for topic, route in routes.items() if route.queue == queue}, world.caps)
            for queue in queues
        }
        holders = orphans.Holders(
            replica_id=self.replica_id, queues=tuple(queues), groups={queue: tuple(grouped[queue]) for queue in queues}
        )
        publisher = cast("PublisherModel", Through(PublisherModel(world), self._point))
        self.reporter = Reporter(
            self._engine, self._ledger, routes, is_ours=self._registry.is_ours, largest_age=world.largest_age,
            stop=self._stop,
        )  # fmt: skip
        self._bulk = BulkReporter(self._engine, self._ledger, self.reporter)
        self._dispatchers = {
            queue: Dispatcher(
                self._engine, self._ledger, publisher, routes, queue=queue, lease=world.lock, stop=self._stop
            )
            for queue in queues
        }
        budgets = {
            queue: Budget(self._ledger, queue, capacity=world.capacity, least=world.capacity, clock=world.seconds)
            for queue in queues
        }
        self._pollers = [
            Poller(
                self._engine, self._dispatchers[queue], served, budgets[queue], holder=holders.of(queue, group),
                caps=world.caps.get(next(iter(served)), ()), lock_duration=world.lock, wait=world.no_wait,
                clock=world.seconds,
            )
            for queue in queues for group, served in grouped[queue].items()
        ]  # fmt: skip
        unclaimed = Unclaimed(
            self._engine, self._ledger,
            has_in_hand=lambda task: any(d.has_in_hand(task) for d in self._dispatchers.values()),
            lock_duration=world.lock,
        )  # fmt: skip
        self._finder = orphans.Orphans(
            self._engine, self._ledger, self._registry, unclaimed, holders, lock_duration=world.lock
        )
        self._heir = succession.Succession(self._engine, self._registry, unclaimed, queues)
        self._presence = presence.Presence(
            self._registry, self.replica_id, holders, recover=self._finder.recover, leave=self._leave
        )
        self.jobs = {job.name: job for job in self._all_jobs(routes, queues)}

    def _all_jobs(self, routes: Mapping[Topic, Route], queues: Sequence[str]) -> Iterator[Periodic]:
        world, registry = self.world, self._registry
        keeper = lease_keeper.LeaseKeeper(self._engine, self._ledger, queues, lock_duration=world.lock)
        watching = watcher.Watcher(self._engine, self._ledger, world.revoker, queues, lock_duration=world.lock)
        reconciling = reconciler.Reconciler(
            self._engine, self._ledger, self.reporter, routes, queues=queues, depths=world.broker.depths,
            lost_after=world.lost_after, largest_age=world.largest_age,
        )  # fmt: skip
        retries = Retries(self._ledger, self._pollers)
        yield Periodic(name="presence", turn=self._presence.turn, seconds=presence.TURN_SECONDS)
        yield Periodic(name="keeper", turn=partial(keeper.turn, self._stop), seconds=lease_keeper.TURN_SECONDS)
        yield Periodic(name="watcher", turn=watching.turn, seconds=watcher.TURN_SECONDS, shared_by=registry)
        yield Periodic(name="reconciler", turn=reconciling.turn, seconds=reconciler.TURN_SECONDS, shared_by=registry)
        yield Periodic(name="retries", turn=partial(retries.turn, self._stop), seconds=RETRY_CHECK_SECONDS)
        yield Periodic(name="orphans", turn=self._finder.turn, seconds=orphans.TURN_SECONDS)
        yield Periodic(name="succession", turn=self._heir.turn, seconds=succession.TURN_SECONDS, shared_by=registry)

    def begin(self) -> None:
        """Take the replica id and see to what an earlier run has left; again later where that does not work now."""
        self._guarded("begin", self._begin)

    def _begin(self) -> None:
        if self._own_registry.hold_replica(self.replica_id) is None:
            self._presence.arrive(self._stop)
            self._finder.begin()
            self.is_ready = True

    def poll(self, queue: str) -> None:
        """Fetch and dispatch once."""
        if self.is_ready and not self._dispatchers[queue]._turn.locked():
            for poller in self._pollers:
                if poller.queue == queue:
                    self._guarded(f"poll {poller.name}", partial(poller.turn, self._stop), fetches=True)

    def run_due(self) -> None:
        """Do every periodic job that has fallen due."""
        if not self.is_up:
            return
        if not self.is_ready:
            self.begin()
            return
        now = self.world.clock.milliseconds()
        for name, job in self.jobs.items():
            if self._due.setdefault(name, now) <= now:
                self._due[name] = now + round(job.seconds * 1000)
                self.do(name)

    def do(self, name: str) -> None:
        """Do one periodic job now."""
        if self.is_ready and not (name == "retries" and any(d._turn.locked() for d in self._dispatchers.values())):
            self._guarded(name, partial(self._turn, self.jobs[name]))

    def _turn(self, job: Periodic) -> None:
        if job._is_ours_to_do():
            job.turn()

    def report(self) -> None:
        """Report one result: one that is held back, else the next of the queue."""
        if self.is_ready:
            self._guarded("report", self._report_next)

    def report_list(self) -> None:
        """Report up to three results in a list, and alone what the list leaves open."""
        if self.is_ready:
            self._guarded("report list", self._report_list)

    def _report_list(self) -> None:
        broker = self.world.broker
        taken = [message for _ in range(LIST) if (message := broker.take(Queue.CALLBACKS, self)) is not None]
        read = [(message, callback) for message in taken if (callback := self._read(message))]
        alone = [message for message in taken if message not in [listed for listed, _ in read]]
        try:
            verdicts = self._bulk.tell([callback for _, callback in read]) if read else ()
        except ProcosError as error:
            for message, _ in read:
                self._put_off(message, decision_on(error).disposal)
            verdicts, read = (), []
        for (message, callback), verdict in zip(read, verdicts, strict=True):
            if verdict is None:
                alone.append(message)
                continue
            if verdict in CLOSED_LATER:
                self.reporter.close(callback.ref, verdict)
            self._settle(message, callback, verdict)
        for message in alone:
            self.held.insert(0, message)
            self._report_next()

    def _read(self, message: Message) -> Callback | None:
        try:
            return None if times_parked(message) else read_callback(message, self._ledger)
        except ProcosError:
            return None

    def _report_next(self) -> None:
        broker = self.world.broker
        message = self.held.pop(0) if self.held else broker.take(Queue.CALLBACKS, self)
        if message is None:
            return
        callback = None
        try:
            callback = read_callback(message, self._ledger)
            verdict = self.reporter.report(callback.ref, callback.outcome, tries=1 + times_parked(message))
        except ProcosError as error:
            disposal = decision_on(error).disposal
            if disposal is Disposal.DEAD_LETTER:
                raise AssertionError(f"a result of ours is unreadable: {error}") from error
            self._put_off(message, disposal)
            if callback and disposal is Disposal.PARK:
                self._ledger.mark_parked([callback.ref])
            return
        self._settle(message, callback, verdict)

    def _settle(self, message: Message, callback: Callback, verdict: Verdict) -> None:
        broker = self.world.broker
        self._point("acknowledge")
        if broker.is_held(message, self):
            self.world.note_reported(callback.ref, callback.outcome, verdict)
        broker.acknowledge(message, self)

    def _put_off(self, message: Message, disposal: Disposal) -> None:
        if disposal is Disposal.HOLD:
            self.held.append(message)
            return
        message.headers[TIMES_PARKED] = times_parked(message) + 1
        self._point("park")
        self.world.steps[message.step_id].times_parked += 1
        self.world.broker.park(message, self)

    def look_into_dead_letters(self) -> None:
        """Report every task that was dead-lettered."""
        if self.is_ready:
            for queue in self.world.broker.task_queues:
                for _ in range(len(self.world.broker.ready[dead(queue)])):
                    self._guarded("dead letters", partial(self._report_dead, queue))

    def _report_dead(self, queue: str) -> None:
        broker = self.world.broker
        message = broker.take(dead(queue), self)
        if message is None:
            return
        try:
            ref = dispatch_in(message)
            outcome = outcome_of_death(message, queue, self._ledger.stored_result(ref.celery_id))
            self.reporter.report(ref, outcome)
        except ProcosError:
            broker.ready[dead(queue)].append(message)
        broker.acknowledge(message, self)

    def arm(self, calls: int, action: Callable[[], None] | None) -> None:
        """Do something right before a coming call; None is to crash."""
        self._armed = (calls, action or self._crash)

    def disarm(self) -> None:
        """Let nothing more happen between its calls."""
        self._armed = None

    def _crash(self) -> None:
        raise Crashed

    def _point(self, _name: str) -> None:
        if not self.is_up:
            raise Crashed
        if self._armed is None:
            return
        calls, action = self._armed
        self._armed = (calls - 1, action)
        if calls <= 1:
            self._armed = None
            action()
            if not self.is_up:
                raise Crashed

    def _guarded(self, name: str, turn: Callable[[], None], *, fetches: bool = False) -> None:
        """Do a turn as its thread does: an outage ends it, a crash ends the bridge."""
        if not self.is_up or name in self._busy:
            return
        self._busy.append(name)
        try:
            turn()
        except Crashed:
            self.world.keeps_books = False
            self.die()
        except TOLERATED:
            pass
        except ProcosError as error:
            if not (fetches or self.world.was_refused):
                raise AssertionError(f"{name} ended in {error!r}") from error
        finally:
            self._busy.remove(name)

    def _leave(self) -> None:
        self._stop.set()
        self.die()

    def die(self) -> None:
        """End at once: its connections close, what it has in hand is gone."""
        self.is_up = self.is_ready = False
        self.held.clear()
        self.world.broker.release(self)
        self.world.note_trouble()

    def stop(self) -> None:
        """End as asked to: what is not reported stays with the broker, the replica id is free at once."""
        if self.is_ready and not self._busy:
            self._guarded("stop", self._presence.depart)
            self.die()
