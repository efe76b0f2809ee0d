"""The scripts of a provider's limits, as Redis runs them, in one step each and on its own clock.

A limit per minute is a schedule (GCRA): each request takes the next free slot and moves the next one on by what it
takes, so requests are spaced evenly and nothing is saved up while nobody asks. A slot that is further away than a
worker waits is promised to the step, which comes back for it; one whose step is late, or has given it back, is vacant:
anybody's. For a step that finds every place taken one is kept, from the moment at which, by how long calls take, it
should be free. `tasks.ai.limits` calls them.
"""

from __future__ import annotations

from procos.demand_scripts import NOW

LET_IN, LATER, ASK_AGAIN = 1, 0, -1
"""The first number `ADMIT` returns."""

# Milliseconds: a promised slot is its owner's until LATE after its moment, vacant until LOST, and then gone; a place is
# kept for KEPT. Nothing is promised that is FAR ahead, and nobody comes to see where that saves less than WORTH.
TERMS = "local LATE, LOST, KEPT, FAR, WORTH, MOST = 1000, 2000, 5000, 3600000, 10000, 100\n"

SLOTS = """
local function drop(id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[7], id)
  redis.call('HDEL', KEYS[3], id)
end
local function vacate(id, at)
  if redis.call('ZREM', KEYS[2], id) == 0 then return end
  redis.call('ZADD', KEYS[7], at, id)
  redis.call('PEXPIRE', KEYS[7], 2 * FAR)
end
local function look_who_is_late()
  local lost = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - LOST, 'LIMIT', 0, MOST)
  local late = redis.call('ZRANGEBYSCORE', KEYS[2], now - LOST, now - LATE, 'WITHSCORES', 'LIMIT', 0, MOST)
  for _, id in ipairs(lost) do drop(id) end
  for each = 1, #late, 2 do vacate(late[each], late[each + 1]) end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now - LOST, 'LIMIT', 0, MOST)) do drop(id) end
  if #lost + #late > 0 then
    redis.call('HSET', KEYS[1], 'missed', 1)
    if redis.call('PTTL', KEYS[1]) < FAR then redis.call('PEXPIRE', KEYS[1], 2 * FAR) end
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', now - LATE)
end
local function vacant(tokens, from, till)
  local found = redis.call('ZRANGEBYSCORE', KEYS[7], from, till, 'WITHSCORES', 'LIMIT', 0, MOST)
  for each = 1, #found, 2 do
    if tonumber(redis.call('HGET', KEYS[3], found[each]) or 0) >= tokens then
      return tonumber(found[each + 1]), found[each]
    end
  end
end
local function slot(step, tokens, from, patience)
  -- Its own, unless another can be had at once; else the first that is vacant. Returns when, and whose it was.
  local own = tonumber(redis.call('ZSCORE', KEYS[2], step) or redis.call('ZSCORE', KEYS[7], step) or 0)
  if own > 0 and own < from then drop(step) end
  if own >= from and own - now <= patience then return own, step end
  local at, whose = vacant(tokens, from, own < from and '+inf' or now + patience)
  if at then return at, whose end
  if own >= from then return own, step end
end
local function next_free(takes, from)
  for name, ms in pairs(takes) do
    if ms > 0 then from = math.max(from, tonumber(redis.call('HGET', KEYS[1], name) or 0)) end
  end
  return from
end
local function plan(takes, at)
  for name, ms in pairs(takes) do
    if ms > 0 then
      redis.call('HSET', KEYS[1], name, at + ms)
      local until_then = math.ceil(at + ms - now) + 2 * FAR
      if redis.call('PTTL', KEYS[1]) < until_then then redis.call('PEXPIRE', KEYS[1], until_then) end
    end
  end
end
local function promise(step, at, whose, takes)
  local weight = takes.tokens
  if whose then
    weight = redis.call('HGET', KEYS[3], whose) or weight
    drop(whose)
  else
    plan(takes, at)
  end
  redis.call('ZADD', KEYS[2], at, step)
  redis.call('HSET', KEYS[3], step, weight)
  for key = 2, 3 do redis.call('PEXPIRE', KEYS[key], 2 * FAR) end
end
local function stand_by(step, tokens, at)
  -- Where the last slot was missed by its owner, the next may be too: one step for each comes to see, and once only.
  if not redis.call('HGET', KEYS[1], 'missed') then return end
  local last = tonumber(redis.call('ZRANGE', KEYS[8], -1, -1, 'WITHSCORES')[2] or 0)
  local from = string.format('%.3f', math.max(last, now) - LATE + 1)
  local found = redis.call('ZRANGEBYSCORE', KEYS[2], from, at - WORTH, 'WITHSCORES', 'LIMIT', 0, MOST)
  for each = 1, #found, 2 do
    if found[each] ~= step and tonumber(redis.call('HGET', KEYS[3], found[each]) or 0) >= tokens then
      redis.call('ZADD', KEYS[8], found[each + 1] + LATE, step)
      redis.call('PEXPIRE', KEYS[8], 2 * FAR)
      return
    end
  end
end
"""

PLACES = """
local function is_full(step, at_once, comes_back)
  if at_once == 0 then return false end
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
  local taken = redis.call('ZCARD', KEYS[5])
  if not comes_back and not redis.call('ZSCORE', KEYS[4], step) then
    -- Who comes by leaves free what is kept for those who are about to come back.
    taken = taken + redis.call('ZCOUNT', KEYS[4], now - KEPT, now) + redis.call('ZCOUNT', KEYS[2], now - LATE, now)
  end
  return taken >= at_once
end
local function each_place(at_once)
  return tonumber(redis.call('HGET', KEYS[1], 'call_ms') or 1000) / at_once
end
local function keep_place(step, at_once, not_before)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - KEPT)
  local own = tonumber(redis.call('ZSCORE', KEYS[4], step) or 0)
  if own > now then return math.max(own, not_before) end
  local each = each_place(at_once)
  local due = math.max(now + math.max(each, 1000), not_before)
  if own == 0 then  -- whose turn it was does not queue up again
    due = math.max(due, tonumber(redis.call('HGET', KEYS[1], 'places') or 0))
    if due - now > FAR then return now + FAR end
    redis.call('HSET', KEYS[1], 'places', due + each)
    if redis.call('PTTL', KEYS[1]) < 2 * FAR then redis.call('PEXPIRE', KEYS[1], 2 * FAR) end
  end
  redis.call('ZADD', KEYS[4], due, step)
  redis.call('PEXPIRE', KEYS[4], 2 * FAR)
  return due
end
"""

ADMIT = (
    NOW
    + TERMS
    + SLOTS
    + PLACES
    + """
-- KEYS schedule, reserved, weights, kept places, places, refused, vacant, standing by
-- ARGV step, holder, milliseconds this request takes of the schedules of requests and of tokens (0: no such limit),
--      at_once (0: no such limit), patience_ms, place_ms, is_last
-- Returns {1, wait} to go on after a wait, {0, wait} to come back after one, {-1, 0} where there is no place just now.
local step, at_once, patience = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
local takes = {requests = tonumber(ARGV[3]), tokens = tonumber(ARGV[4])}
local refused = math.max(redis.call('PTTL', KEYS[6]), 0)
look_who_is_late()
local at, whose = slot(step, takes.tokens, refused > 0 and now + refused or now - LOST, patience)
at = at and math.max(at, now) or next_free(takes, now + refused)
local full = is_full(step, at_once, whose == step)
if full and ARGV[8] == '0' then return {-1, 0} end
if not full and at - now <= patience then
  if whose then drop(whose) else plan(takes, at) end
  if whose == step then redis.call('HDEL', KEYS[1], 'missed') end
  vacate(step, redis.call('ZSCORE', KEYS[2], step))
  redis.call('ZREM', KEYS[4], step)
  redis.call('ZREM', KEYS[8], step)
  if at_once > 0 then
    redis.call('ZADD', KEYS[5], at + tonumber(ARGV[7]), ARGV[2])
    redis.call('PEXPIRE', KEYS[5], 2 * FAR)
  end
  return {1, math.ceil(at - now)}
end
if full then
  if whose == step then vacate(step, redis.call('ZSCORE', KEYS[2], step)) end
  return {0, math.ceil(keep_place(step, at_once, now + refused) - now)}
end
if takes.requests + takes.tokens > 0 then
  if not whose and at - now > FAR then return {0, FAR} end
  if not redis.call('ZSCORE', KEYS[2], step) then
    promise(step, at, whose, takes)
    stand_by(step, takes.tokens, at)
  end
  local turn = tonumber(redis.call('ZSCORE', KEYS[8], step) or 0)
  if turn > now then at = math.min(at, turn) end
end
return {0, math.ceil(at - now)}
"""
)

FORGET = (
    NOW
    + TERMS
    + SLOTS
    + PLACES
    + """
-- KEYS as above  ARGV step, at_once
-- What the step was promised is vacant; the line for places is one shorter.
local step, at_once = ARGV[1], tonumber(ARGV[2])
vacate(step, redis.call('ZSCORE', KEYS[2], step))
redis.call('ZREM', KEYS[8], step)
if redis.call('ZREM', KEYS[4], step) == 1 and at_once > 0 and redis.call('HEXISTS', KEYS[1], 'places') == 1 then
  redis.call('HINCRBYFLOAT', KEYS[1], 'places', -each_place(at_once))
end
return 1
"""
)

LEAVE = (
    NOW
    + """
-- KEYS schedule, places  ARGV holder, unused_ms, call_ms (-1: not to be counted)
-- What was not used of the schedule of tokens is given back, unless its time is over; what was used beyond is taken.
redis.call('ZREM', KEYS[2], ARGV[1])
local unused, call = tonumber(ARGV[2]), tonumber(ARGV[3])
local planned = tonumber(redis.call('HGET', KEYS[1], 'tokens') or 0)
if unused < 0 or planned > now then
  if unused ~= 0 then redis.call('HSET', KEYS[1], 'tokens', math.max(math.max(planned, now) - unused, now)) end
end
if call >= 0 then
  local average = tonumber(redis.call('HGET', KEYS[1], 'call_ms') or call)
  redis.call('HSET', KEYS[1], 'call_ms', average * 0.8 + call * 0.2)
end
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], 7200000) end
return 1
"""
)

RENEW = (
    NOW
    + """
-- KEYS places  ARGV place_ms, …holders
for each = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now + tonumber(ARGV[1]), ARGV[each]) end
return 1
"""
)

HEADROOM = (
    NOW
    + TERMS
    + """
-- KEYS schedule, places, refused, vacant  ARGV …schedules that count
-- Returns milliseconds until the next request fits them, and how many places are taken.
local refused, wait = math.max(redis.call('PTTL', KEYS[3]), 0), 0
for _, name in ipairs(ARGV) do
  wait = math.max(wait, tonumber(redis.call('HGET', KEYS[1], name) or 0) - now)
end
local from = refused > 0 and now + refused or now - LOST
local vacant = redis.call('ZRANGEBYSCORE', KEYS[4], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
wait = math.max(math.min(wait, (vacant or now + wait) - now), refused)
return {math.ceil(wait), redis.call('ZCOUNT', KEYS[2], '(' .. string.format('%d', now), '+inf')}
"""
)

REFUSED = """
-- KEYS refused  ARGV milliseconds; a shorter time does not end a longer one
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) end
return 1
"""
