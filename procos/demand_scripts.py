"""Scripts about how much may be in flight: places of caps, and what workers tell of a queue's demand.

`procos.ledger_scripts` puts `PLACES` in front of the scripts that take places.
"""

from __future__ import annotations

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

PLACES = """
-- Caps stand in KEYS as pairs of the places on a queue and the leases of that queue, the task's own queue first; in
-- ARGV as how many at once and the number of pairs. A place whose lease is gone is free: nobody has to give it back.
local function is_full(id, key, argument)
  while ARGV[argument] do
    local own, taken = KEYS[key], 0
    for _ = 1, tonumber(ARGV[argument + 1]) do
      taken = taken + redis.call('ZINTERSTORE', KEYS[key], 2, KEYS[key], KEYS[key + 1], 'WEIGHTS', 1, 0)
      key = key + 2
    end
    if taken >= tonumber(ARGV[argument]) and not redis.call('ZSCORE', own, id) then return true end
    argument = argument + 2
  end
  return false
end
local function take_places(id, key, argument)
  while ARGV[argument] do
    redis.call('ZADD', KEYS[key], 0, id)
    key, argument = key + 2 * tonumber(ARGV[argument + 1]), argument + 2
  end
end
"""

SHOW_SLOTS = (
    NOW
    + """
-- KEYS slots of each queue  ARGV "<slots> <worker>", ttl_ms
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[1])
  if redis.call('PTTL', key) < tonumber(ARGV[2]) then redis.call('PEXPIRE', key, ARGV[2]) end
end
return 1
"""
)

DEMAND = (
    NOW
    + """
-- KEYS slots, starts  ARGV queue; returns the slots of all live workers, and how many starts there were on the queue
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local slots = 0
for _, shown in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  slots = slots + tonumber(string.match(shown, '^%d+'))
end
return {slots, tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)}
"""
)
