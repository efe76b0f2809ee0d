"""Who the bridges are, as they tell each other; each case holds in memory and on Redis."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridge.registry import Registry
from procos import ledger_keys as keys
from procos.domain.errors import LedgerUnreachableError
from procos.settings import RedisSettings
from tests.contract.silence import Silence, silenced

if TYPE_CHECKING:
    import redis

    from tests.contract.registry_labs import RegistryLab

SHORT, AFTER_SHORT = 0.1, 0.15
MARK = re.compile(rb"\$36\r\n")
"""How the answer begins that holds an epoch; no other is as long."""


class TestReplica:
    def test_is_held_by_one_bridge_alone_and_a_refusal_names_it(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        assert one.hold_replica("a") is None
        assert other.hold_replica("a") == one.boot_id
        assert other.hold_replica("b") is None

    def test_is_renewed_by_its_holder(self, registry_lab: RegistryLab) -> None:
        one = registry_lab.bridge()
        assert [one.hold_replica("a") for _ in range(3)] == [None, None, None]

    def test_passes_on_when_its_lease_has_run_out(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        one.hold_replica("a")
        registry_lab.run_out("a")
        assert not other.alive("a")
        assert other.hold_replica("a") is None
        assert one.hold_replica("a") == other.boot_id

    def test_passes_on_when_it_is_released(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        one.hold_replica("a")
        one.release_replica("a")
        assert other.hold_replica("a") is None

    def test_is_released_by_its_holder_alone(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        one.hold_replica("a")
        other.release_replica("a")
        assert other.hold_replica("a") == one.boot_id

    def test_is_alive_while_it_is_held(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        assert other.alive("ab") == frozenset()
        one.hold_replica("a")
        assert other.alive("ab") == {"a"}
        one.release_replica("a")
        assert other.alive("ab") == frozenset()

    def test_is_anybodys_after_a_flush(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        one.hold_replica("a")
        registry_lab.flush()
        assert not other.alive("a")
        assert one.hold_replica("a") is None


class TestTurn:
    def test_is_one_bridges_at_a_time(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        assert one.has_turn("watch", 5)
        assert not other.has_turn("watch", 5)
        assert one.has_turn("watch", 5)
        assert other.has_turn("reconcile", 5)

    def test_passes_on_when_its_holder_asks_no_more(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        one.has_turn("watch", SHORT)
        registry_lab.pass_time(AFTER_SHORT)
        assert other.has_turn("watch", 5)
        assert not one.has_turn("watch", 5)

    def test_is_passed_on_by_its_holder_alone(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        one.has_turn("watch", 5)
        other.pass_turn("watch")
        assert not other.has_turn("watch", 5)
        one.pass_turn("watch")
        assert other.has_turn("watch", 5)


class TestHolders:
    def test_are_ours_once_registered_whichever_bridge_did(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        assert other.holders() == frozenset()
        for holder in ("a/ai", "a/generic", "a/ai"):
            one.register_holder(holder)
        assert other.holders() == {"a/ai", "a/generic"}
        assert other.is_ours("a/ai")
        assert not other.is_ours("stranger")

    def test_are_abandoned_when_their_bridge_is_gone(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        for bridge, name in ((one, "a"), (other, "b")):
            bridge.hold_replica(name)
            bridge.register_holder(f"{name}/ai")
            bridge.register_holder(f"{name}/generic")
        assert (one.replicas(), one.abandoned()) == (frozenset("ab"), frozenset())
        other.release_replica("b")
        assert (one.replicas(), one.abandoned()) == (frozenset("a"), frozenset(("b/ai", "b/generic")))


class TestEpoch:
    def test_is_begun_once(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        assert [one.begin_epoch(), one.begin_epoch(), other.begin_epoch()] == [True, False, False]

    def test_is_begun_again_after_a_flush_and_each_of_them_learns_of_it_once(self, registry_lab: RegistryLab) -> None:
        one, other = registry_lab.bridge(), registry_lab.bridge()
        for bridge in (one, other):
            bridge.begin_epoch()
        registry_lab.flush()
        assert [bridge.begin_epoch() for bridge in (other, one, other, one)] == [True, True, False, False]
        assert registry_lab.bridge().begin_epoch() is False


class TestEpochOnRedis:
    def test_is_known_for_new_although_the_answer_that_said_so_was_lost(
        self, redis_client: redis.Redis, redis_settings: RedisSettings
    ) -> None:
        silence = Silence(MARK, times=1)
        with silenced(redis_settings.url, silence) as url:
            registry = Registry(RedisSettings(url=url, timeout=0.5))
            try:
                is_new = registry.begin_epoch()
            except LedgerUnreachableError:
                is_new = registry.begin_epoch()
            assert (is_new, registry.begin_epoch()) == (True, False)
        assert silence.lost == 1
        assert redis_client.exists(keys.EPOCH)
