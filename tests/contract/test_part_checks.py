"""What the health checks of the system read in Redis is what bridges and workers write there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.settings import load_settings
from procos.worker_slots import WorkerSlots
from tasks.system.part_checks import bridge_trouble, live_bridges, redis_trouble, without_slots

if TYPE_CHECKING:
    import redis

    from bridge.registry import Registry
    from procos.settings import RedisSettings
    from tests.contract.registry_labs import RedisLab


class TestBridge:
    def test_is_there_while_one_holds_its_id(
        self, redis_registry_lab: RedisLab, redis_settings: RedisSettings, redis_client: redis.Redis
    ) -> None:
        assert bridge_trouble(redis_settings) == "no bridge runs; start one with `procos bridge`"
        registry: Registry = redis_registry_lab.bridge()
        registry.hold_replica("one")
        registry.register_holder("one/ai")
        registry.register_holder("gone/ai")
        assert bridge_trouble(redis_settings) is None
        assert live_bridges(redis_client) == {"one"}
        registry.release_replica("one")
        assert bridge_trouble(redis_settings) is not None

    def test_is_not_known_where_redis_is_away(self) -> None:
        away = load_settings({"PROCOS_REDIS_URL": "redis://:secret@127.0.0.1:9/0"}, dotenv=None).redis
        found = bridge_trouble(away) or ""
        assert found.startswith("not known: redis://127.0.0.1:9/0 does not answer: ")
        assert "secret" not in found


class TestRedis:
    def test_is_well_where_it_answers(self, redis_settings: RedisSettings) -> None:
        assert redis_trouble(redis_settings) is None


class TestQueues:
    def test_have_a_worker_where_one_shows_its_slots(
        self, redis_settings: RedisSettings, redis_client: redis.Redis
    ) -> None:
        WorkerSlots(redis_settings.url, "ai@here").show(16, ["ai"])
        assert without_slots(redis_settings, ["ai", "generic"]) == ["generic"]
        redis_client.flushall()
        assert without_slots(redis_settings, ["ai", "generic"]) == ["ai", "generic"]
