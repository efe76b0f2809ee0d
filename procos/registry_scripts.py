"""Scripts of the register of bridges: a lease on a name, and the epoch; `bridge.registry` runs them."""

from __future__ import annotations

HOLD = """
-- KEYS name  ARGV boot, ttl_ms, …; a lease on a name, which only its holder renews. Returns 1, or who holds it.
local held_by = redis.call('GET', KEYS[1])
if held_by and held_by ~= ARGV[1] then return held_by end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

LET_GO = """
-- KEYS name  ARGV boot
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

EPOCH = """
-- KEYS epoch  ARGV proposed; returns the one that counts
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
"""
