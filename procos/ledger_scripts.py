"""The ledger's scripts: every change of an entry, as Redis runs it, in one step each.

The bridge's stand first, the worker's (STARTED, ALIVE) after them. `procos.testing.FakeLedger` does the same in memory,
under the same contract cases.
"""

from __future__ import annotations

from procos.demand_scripts import NOW, PLACES

LINES = """
-- The line about a step that has ended: among those of its instance, or by itself where they are too many. One that is
-- no line tells nothing, and stops nothing.
local function line_in(lines, own_line, id)
  local is_read, line = pcall(cjson.decode, redis.call('HGET', lines, id) or redis.call('GET', own_line) or '')
  return is_read and type(line) == 'table' and line or nil
end
"""

RESERVE = (
    NOW
    + LINES
    + PLACES
    + """
-- KEYS entry, leases, retries_due, cancelled, steps, ended, …caps
-- ARGV id, token, holder, lease_ms, topic, queue, instance, activity, retries, just_ms, retry_config, …caps
-- Retries that differ from the entry's tell that the engine took a failure of it: the entry is of the past.
-- What the engine's clock is ahead of ours is noted here, where a token is of a moment ago; less what it had to wait.
-- Returns what was found, the token that counts, and the state of a dispatch that had not ended and was replaced.
local found = redis.call('HMGET', KEYS[1], 'state', 'token', 'retries', 'first_at', 'losses', 'starts')
local state, token = found[1], found[2]
if not state then
  -- Its result may have been reported while the answer to this fetch was on its way: then nothing is left to do.
  local ended = line_in(KEYS[5], KEYS[6], ARGV[1])
  if ended and ended.outcome ~= 'incident' and now - (tonumber(ended.ended_at) or 0) < tonumber(ARGV[10]) then
    return {'ended', ARGV[2], ''}
  end
end
local same_try = state and found[3] == ARGV[9]
local first_at = (same_try or state == 'backing_off') and found[4] or now
local under_way = same_try and state ~= 'backing_off' and state ~= 'lost'
if not under_way and is_full(ARGV[1], 7, 12) then return {'full', ARGV[2], ''} end
take_places(ARGV[1], 7, 12)
redis.call('ZADD', KEYS[2], now + math.floor(ARGV[4] / 2), ARGV[1])
redis.call('DEL', KEYS[4])
if under_way then
  redis.call('HSET', KEYS[1], 'holder', ARGV[3], 'lease_ms', ARGV[4])
  redis.call('PERSIST', KEYS[1])
  return {state == 'reserved' and 'republish' or 'adopted', token, ''}
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'reserved', 'token', ARGV[2], 'holder', ARGV[3], 'lease_ms', ARGV[4],
  'topic', ARGV[5], 'queue', ARGV[6], 'instance', ARGV[7], 'activity', ARGV[8], 'retries', ARGV[9],
  'first_at', first_at, 'losses', same_try and found[5] or 0, 'reserved_at', now, 'ahead', ARGV[2] - ARGV[4] - now,
  'starts', same_try and state == 'lost' and found[6] or 0, 'retry_config', ARGV[11])
return {'new', ARGV[2], state and state ~= 'backing_off' and state or ''}
"""
)

REBUILD = (
    NOW
    + """
-- KEYS entry, leases, steps, ended, …places  ARGV id, holder, lease_ms, topic, queue, instance, activity, retries
-- After a flush: the engine says that this step is ours, so a dispatch of it is under way. Its token is not known, and
-- every token is larger than 0.
if redis.call('EXISTS', KEYS[1], KEYS[4]) > 0 or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then return 0 end
redis.call('ZADD', KEYS[2], now + math.floor(ARGV[3] / 2), ARGV[1])
for place = 5, #KEYS do redis.call('ZADD', KEYS[place], 0, ARGV[1]) end
redis.call('HSET', KEYS[1], 'state', 'published', 'token', 0, 'holder', ARGV[2], 'lease_ms', ARGV[3],
  'topic', ARGV[4], 'queue', ARGV[5], 'instance', ARGV[6], 'activity', ARGV[7], 'retries', ARGV[8],
  'first_at', now, 'losses', 0, 'reserved_at', now, 'published_at', now, 'starts', 0)
return 1
"""
)

PUBLISHED = (
    NOW
    + """
-- KEYS entry  ARGV token
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'published_at', now)
if redis.call('HGET', KEYS[1], 'state') == 'reserved' then
  redis.call('HSET', KEYS[1], 'state', 'published')
end
return 1
"""
)

PARKED = (
    NOW
    + """
-- KEYS entry  ARGV token
-- A result that is put aside is a sign of life. Of an entry that was written after a flush, any dispatch's is.
local token = redis.call('HGET', KEYS[1], 'token')
if token ~= ARGV[1] and token ~= '0' then return 0 end
redis.call('HSET', KEYS[1], 'seen_at', now)
return 1
"""
)

CLAIM_REPORT = (
    NOW
    + LINES
    + """
-- KEYS entry, leases, steps, ended  ARGV id, token, kept_s
-- Returns what the claim amounts to, how long the try has lasted, and who ran it.
-- A step that ended by a newer dispatch, in an incident, is not to be tried again for a failure that was on its way.
local found = redis.call('HMGET', KEYS[1], 'token', 'state', 'first_at', 'worker')
local token, worker = found[1], found[4] or ''
if not token then
  local ended = line_in(KEYS[3], KEYS[4], ARGV[1])
  if ended and (tonumber(ended.token) or 0) > tonumber(ARGV[2]) then return {'superseded', 0, ''} end
end
if token and tonumber(token) > tonumber(ARGV[2]) then return {'superseded', 0, worker} end
if token == ARGV[2] and found[2] == 'backing_off' then return {'reported', 0, worker} end
if token then
  redis.call('HSET', KEYS[1], 'state', 'reporting', 'token', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
redis.call('ZREM', KEYS[2], ARGV[1])
return {'claimed', now - (found[3] or now), worker}
"""
)

BACK_OFF = (
    NOW
    + """
-- KEYS entry, retries_due, leases  ARGV id, token, delay_ms, kept_s, same_try
-- A postponement goes on with the same try, whose age counts; a failure ends it.
-- Returns whether a poller fetched the step again since the report was claimed (it took the dispatch for one under
-- way), and whether the dispatch was open until now.
local found = redis.call('HMGET', KEYS[1], 'token', 'state')
local token = found[1]
if token and tonumber(token) > tonumber(ARGV[2]) then return {0, 0} end
local was_open = token and found[2] ~= 'backing_off'
local fetched_again = redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'backing_off', 'token', ARGV[2])
if ARGV[5] == '0' then redis.call('HDEL', KEYS[1], 'first_at') end
redis.call('HSET', KEYS[1], 'due_at', now + tonumber(ARGV[3]))
redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[3] / 1000) + tonumber(ARGV[4]))
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), ARGV[1])
return {fetched_again, was_open and 1 or 0}
"""
)

CLOSE = (
    NOW
    + LINES
    + """
-- KEYS entry, leases, retries_due, steps, result, ended
-- ARGV id, outcome, kept_s, activity, topic, queue, most_steps, token, result_kept_s, call
-- Returns how long the try has lasted, or -1 when it was not open; a call that is made again, since its answer was
-- lost, returns what it did the first time.
local found = redis.call('HMGET', KEYS[1], 'worker', 'published_at', 'started_at', 'starts', 'reserved_at', 'state',
  'first_at')
local existed = redis.call('DEL', KEYS[1])
local was_open = existed == 1 and found[6] ~= 'backing_off'
local age = was_open and now - (found[7] or now) or -1
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('EXPIRE', KEYS[5], ARGV[9])
if existed == 0 then
  -- What ended once has ended, but an incident may end otherwise after all.
  local ended = line_in(KEYS[4], KEYS[6], ARGV[1])
  if ended and ended.call == ARGV[10] then return ended.said end
  if ended and ended.outcome ~= 'incident' then return age end
end
local line = {outcome = ARGV[2], ended_at = now, token = tonumber(ARGV[8]), call = ARGV[10], said = age}
if redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[7]) and redis.call('HEXISTS', KEYS[4], ARGV[1]) == 0 then
  -- For no person to read, but late messages, failures and signs of life are told by it.
  redis.call('SET', KEYS[6], cjson.encode(line), 'EX', ARGV[2] == 'incident' and ARGV[3] or ARGV[9])
  return age
end
line.activity, line.topic, line.queue, line.worker = ARGV[4], ARGV[5], ARGV[6], found[1] or nil
line.published_at, line.started_at = tonumber(found[2] or 0), tonumber(found[3] or 0)
line.starts, line.reserved_at = tonumber(found[4] or 0), tonumber(found[5] or 0)
redis.call('HSET', KEYS[4], ARGV[1], cjson.encode(line))
redis.call('EXPIRE', KEYS[4], ARGV[3])
return age
"""
)

FORGET = """
-- KEYS entry, leases  ARGV id, token
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""

CANCEL = """
-- KEYS entry, leases, retries_due, cancelled  ARGV id, token, kept_s
-- The mark is what workers look at; it must be there before the entry is not. Returns whether the try was open.
local state = redis.call('HGET', KEYS[1], 'state')
redis.call('SET', KEYS[4], ARGV[2], 'EX', ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[1])
return state and state ~= 'backing_off' and 1 or 0
"""

LOSE = """
-- KEYS entry, leases  ARGV id, token, state, seen_at, kept_s
-- Gives a dispatch up for lost unless it has shown itself since it was looked at; returns how often that was, or 0.
local found = redis.call('HMGET', KEYS[1], 'token', 'state', 'seen_at')
if found[1] ~= ARGV[2] or found[2] ~= ARGV[3] or (found[3] or '') ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'lost')
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HINCRBY', KEYS[1], 'losses', 1)
"""

DUE_RETRIES = (
    NOW
    + """
-- KEYS retries_due; returns milliseconds until the next retry falls due, 0 for one that is overdue, or -1
-- What a minute of fetching did not bring is gone, suspended, or waits for room: the pollers see to it.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60000)
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #first == 0 then return -1 end
return math.max(first[2] - now, 0)
"""
)

STARTED = (
    NOW
    + LINES
    + """
-- KEYS entry, result, steps, cancelled, overtaken, starts, ended  ARGV id, token, worker, run, fresh_ms, dead_since
-- Returns {starts} to run, {0} when nothing is known of the dispatch, {-1} when it is not to run: it was cancelled, has
-- ended, or another counts; {-2, seen_at} when another run of it was alive a moment ago. A caller that has seen no sign
-- of that run since passes its seen_at as dead_since. Of a run that has left its result nothing is left to be done.
if redis.call('EXISTS', KEYS[4]) == 1 then return {-1} end
local found = redis.call('HMGET', KEYS[1], 'token', 'state', 'run', 'seen_at', 'queue', 'published_at', 'reserved_at')
local token, state, run, seen_at = found[1], found[2], found[3], found[4]
if not token then
  local ended = line_in(KEYS[3], KEYS[7], ARGV[1])
  if ended and ended.outcome ~= 'incident' then return {-1} end
  local result = redis.call('GET', KEYS[2])
  return {result and string.find(result, '"status": "SUCCESS"', 1, true) and -1 or 0}
end
if tonumber(token) > tonumber(ARGV[2]) then return {-1} end
if token == ARGV[2] then
  if state == 'reporting' or state == 'backing_off' or state == 'lost' then return {-1} end
  if state == 'started' and run ~= ARGV[4] then
    local result = redis.call('GET', KEYS[2]) or ''
    if string.find(result, '"status": "SUCCESS"', 1, true) then return {-1} end
    if string.find(result, '"status": "FAILURE"', 1, true) then return {-1} end
    if seen_at and seen_at ~= ARGV[6] and now - seen_at < tonumber(ARGV[5]) then return {-2, seen_at} end
  end
else
  redis.call('HSET', KEYS[1], 'starts', 0)
end
redis.call('HSET', KEYS[1], 'state', 'started', 'token', ARGV[2], 'worker', ARGV[3], 'run', ARGV[4],
  'started_at', now, 'seen_at', now)
local published_at = found[6] or found[7]
if published_at and tonumber(published_at) > tonumber(redis.call('HGET', KEYS[5], found[5]) or 0) then
  redis.call('HSET', KEYS[5], found[5], published_at)
end
if found[5] then redis.call('HINCRBY', KEYS[6], found[5], 1) end
return {redis.call('HINCRBY', KEYS[1], 'starts', 1)}
"""
)

ALIVE = (
    NOW
    + """
-- KEYS entry, leases, steps, cancelled, ended, …places
-- ARGV id, token, worker, run, holder, topic, queue, instance, activity, retries, retry_config
-- Returns -1 when the step was cancelled, else 1. An entry that a flush has taken is written again, unless the step has
-- ended: its outcome may be reported before its worker has let go of it.
if redis.call('EXISTS', KEYS[4]) == 1 then return -1 end
local found = redis.call('HMGET', KEYS[1], 'token', 'state')
local token, state = found[1], found[2]
if not token then
  if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 or redis.call('EXISTS', KEYS[5]) == 1 then return 1 end
  redis.call('HSET', KEYS[1], 'holder', ARGV[5], 'lease_ms', 0, 'topic', ARGV[6], 'queue', ARGV[7],
    'instance', ARGV[8], 'activity', ARGV[9], 'retries', ARGV[10], 'first_at', now, 'losses', 0,
    'reserved_at', now, 'published_at', now, 'starts', 1, 'retry_config', ARGV[11])
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  for place = 6, #KEYS do redis.call('ZADD', KEYS[place], 0, ARGV[1]) end
elseif tonumber(token) > tonumber(ARGV[2]) or state == 'reporting' or state == 'backing_off' then
  return 1
elseif state == 'lost' then
  redis.call('PERSIST', KEYS[1])
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  for place = 6, #KEYS do redis.call('ZADD', KEYS[place], 0, ARGV[1]) end
end
redis.call('HSET', KEYS[1], 'state', 'started', 'token', ARGV[2], 'worker', ARGV[3], 'run', ARGV[4], 'seen_at', now)
return 1
"""
)
