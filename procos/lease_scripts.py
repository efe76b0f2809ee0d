"""The scripts that look at what is in flight by its leases: what is due, how much, and what is in a certain state."""

from __future__ import annotations

from procos.demand_scripts import NOW

CLAIM_LEASES = (
    NOW
    + """
-- KEYS leases, early  ARGV limit, claim_ms, share, turn_ms
-- What is due, up to the limit; where that is less than the share of this turn, what falls due next, which one replica
-- takes for all. What was claimed a moment ago is left alone.
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
local missing = tonumber(ARGV[3]) - #ids
if missing > 0 and redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[4]) then
  local from = '(' .. string.format('%d', now + tonumber(ARGV[2]))
  local early = redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'LIMIT', 0, missing)
  for _, id in ipairs(early) do table.insert(ids, id) end
end
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), id) end
return ids
"""
)

DUE_WITHIN = (
    NOW
    + """
-- KEYS leases  ARGV …milliseconds; returns how many fall due within each
local counts = {}
for at, ahead in ipairs(ARGV) do counts[at] = redis.call('ZCOUNT', KEYS[1], '-inf', now + tonumber(ahead)) end
return counts
"""
)

EXTENDED = (
    NOW
    + """
-- KEYS leases, entry  ARGV id, span_ms; returns the state of the entry
redis.call('ZADD', KEYS[1], 'XX', now + math.floor(ARGV[2] / 2), ARGV[1])
return redis.call('HGET', KEYS[2], 'state') or ''
"""
)

SILENT = (
    NOW
    + """
-- KEYS leases  ARGV prefix of an entry's key, silence_ms, age_ms
-- Returns the ids of what is in flight and has not shown itself for so long, or whose try is older than that.
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local entry = redis.call('HMGET', ARGV[1] .. id, 'reserved_at', 'published_at', 'seen_at', 'first_at')
  local reserved_at = tonumber(entry[1] or now)
  local sign = math.max(reserved_at, tonumber(entry[2] or 0), tonumber(entry[3] or 0))
  if now - sign >= tonumber(ARGV[2]) or now - tonumber(entry[4] or reserved_at) > tonumber(ARGV[3]) then
    table.insert(found, id)
  end
end
return found
"""
)

IN_STATE = """
-- KEYS leases  ARGV prefix of an entry's key, state; returns the ids of what is in flight in this state
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('HGET', ARGV[1] .. id, 'state') == ARGV[2] then table.insert(found, id) end
end
return found
"""
