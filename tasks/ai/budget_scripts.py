"""The scripts of budgets, as Redis runs them, in one step each: all counters are checked and changed together.

`tasks.ai.budgets` calls them.
"""

from __future__ import annotations

RESERVE = """
-- KEYS spent by the instance
-- ARGV prefix of what was spent on a day, amount, limits of instance and day (-1: none), seconds each is kept
-- Returns the budget that is not enough, or an empty text; what both had spent; the day, counted from 1970.
local amount, day = tonumber(ARGV[2]), math.floor(redis.call('TIME')[1] / 86400)
local of_day = ARGV[1] .. string.format('%d', day)
local by_instance = tonumber(redis.call('GET', KEYS[1]) or 0)
local on_day = tonumber(redis.call('GET', of_day) or 0)
local refused = ''
if tonumber(ARGV[4]) >= 0 and on_day + amount > tonumber(ARGV[4]) then refused = 'day' end
if tonumber(ARGV[3]) >= 0 and by_instance + amount > tonumber(ARGV[3]) then refused = 'instance' end
if refused == '' then
  redis.call('SET', KEYS[1], string.format('%d', by_instance + amount), 'EX', ARGV[5])
  redis.call('SET', of_day, string.format('%d', on_day + amount), 'EX', ARGV[6])
end
return {refused, by_instance, on_day, day}
"""

SETTLE = """
-- KEYS spent by the instance, on the day  ARGV difference, seconds each is kept
-- A counter that Redis has lost is not made anew by what is given back.
for each = 1, 2 do
  local spent = tonumber(redis.call('GET', KEYS[each]) or 0)
  local corrected = math.max(spent + tonumber(ARGV[1]), 0)
  if corrected > 0 or spent > 0 then
    redis.call('SET', KEYS[each], string.format('%d', corrected), 'EX', ARGV[each + 1])
  end
end
return 1
"""
