"""The ledger's keys in Redis, and its scripts: what bridge and workers must agree on.

One hash per external task in flight, with the token of the dispatch that counts:

    reserved ──▶ published ──▶ started ──▶ (closed: completed, BPMN error, gone, incident)
                     │            └──────▶ reporting ──▶ backing_off ──▶ (superseded by the next fetch)

Every change is compare-and-set on (external task id, token) in Lua. Beside it: a sorted set per queue of when each
lease is to be extended (its size is what is in flight), one of when each retry falls due, and per process instance a
hash of its steps, for people. Moments are Redis's own clock, in milliseconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procos.domain.external_task import ExternalTaskId, ProcessInstanceId

RETRIES_DUE = "procos:retries_due"
HOLDERS = "procos:holders"
RESULT_PREFIX = "celery-task-meta-"
"""Where Celery's Redis backend stores the result of a task, by its Celery id."""
STEPS_KEPT_SECONDS = 7 * 24 * 3600
MOST_STEPS = 1000
"""Steps kept of one process instance: what people look at, not an archive of one that loops for months."""


class State(StrEnum):
    """The state of a ledger entry."""

    RESERVED = "reserved"
    PUBLISHED = "published"
    STARTED = "started"
    REPORTING = "reporting"
    BACKING_OFF = "backing_off"


def entry(external_task_id: ExternalTaskId | str) -> str:
    """Return the key of an entry."""
    return f"procos:task:{external_task_id}"


def leases(queue: str) -> str:
    """Return the key of a queue's leases, by the moment each is to be extended."""
    return f"procos:leases:{queue}"


def steps(process_instance_id: ProcessInstanceId | str) -> str:
    """Return the key of a process instance's steps."""
    return f"procos:steps:{process_instance_id}"


NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

RESERVE = (
    NOW
    + """
-- KEYS entry, leases, retries_due  ARGV id, token, holder, lease_ms, topic, queue, instance, activity, retries
-- Retries that differ from the entry's tell that the engine took a failure of it: the entry is of the past.
local found = redis.call('HMGET', KEYS[1], 'state', 'token', 'retries')
local state, token = found[1], found[2]
redis.call('ZADD', KEYS[2], now + math.floor(ARGV[4] / 2), ARGV[1])
if state and state ~= 'backing_off' and found[3] == ARGV[9] then
  redis.call('HSET', KEYS[1], 'holder', ARGV[3], 'lease_ms', ARGV[4])
  return {state == 'reserved' and 'republish' or 'adopted', token}
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'reserved', 'token', ARGV[2], 'holder', ARGV[3], 'lease_ms', ARGV[4],
  'topic', ARGV[5], 'queue', ARGV[6], 'instance', ARGV[7], 'activity', ARGV[8], 'retries', ARGV[9],
  'reserved_at', now, 'starts', 0)
return {'new', ARGV[2]}
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

STARTED = (
    NOW
    + """
-- KEYS entry, result  ARGV token, worker
-- Returns the number of starts; -1 when a newer dispatch counts, or this one has ended; 0 when nothing is known of it.
local token = redis.call('HGET', KEYS[1], 'token')
if not token then
  local result = redis.call('GET', KEYS[2])
  return result and string.find(result, '"status": "SUCCESS"', 1, true) and -1 or 0
end
if tonumber(token) > tonumber(ARGV[1]) then return -1 end
if token ~= ARGV[1] then redis.call('HSET', KEYS[1], 'starts', 0) end
redis.call('HSET', KEYS[1], 'state', 'started', 'token', ARGV[1], 'worker', ARGV[2], 'started_at', now)
return redis.call('HINCRBY', KEYS[1], 'starts', 1)
"""
)

CLAIM_REPORT = """
-- KEYS entry, leases  ARGV id, token
local token = redis.call('HGET', KEYS[1], 'token')
if token and token ~= ARGV[2] then
  if tonumber(token) > tonumber(ARGV[2]) then return 'superseded' end
end
if token == ARGV[2] and redis.call('HGET', KEYS[1], 'state') == 'backing_off' then return 'reported' end
if token then redis.call('HSET', KEYS[1], 'state', 'reporting') end
redis.call('ZREM', KEYS[2], ARGV[1])
return 'claimed'
"""

BACK_OFF = (
    NOW
    + """
-- KEYS entry, retries_due, leases  ARGV id, token, delay_ms, kept_s
-- Returns 1 when a poller fetched the step again since the report was claimed: it took the dispatch for one under way.
local token = redis.call('HGET', KEYS[1], 'token')
if token and tonumber(token) > tonumber(ARGV[2]) then return 0 end
local fetched_again = redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'backing_off', 'token', ARGV[2])
redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[3] / 1000) + tonumber(ARGV[4]))
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), ARGV[1])
return fetched_again
"""
)

CLOSE = (
    NOW
    + """
-- KEYS entry, leases, retries_due, steps  ARGV id, outcome, kept_s, activity, topic, queue, most_steps
local found = redis.call('HMGET', KEYS[1], 'worker', 'published_at', 'started_at', 'starts', 'reserved_at')
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[7]) then return 1 end
redis.call('HSET', KEYS[4], ARGV[1], cjson.encode({outcome = ARGV[2], activity = ARGV[4], topic = ARGV[5],
  queue = ARGV[6], worker = found[1] or nil, published_at = tonumber(found[2] or 0),
  started_at = tonumber(found[3] or 0),
  starts = tonumber(found[4] or 0), reserved_at = tonumber(found[5] or 0), ended_at = now}))
redis.call('EXPIRE', KEYS[4], ARGV[3])
return 1
"""
)

FORGET = """
-- KEYS entry, leases  ARGV id, token
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""

CLAIM_LEASES = (
    NOW
    + """
-- KEYS leases  ARGV limit, claim_ms
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), id) end
return ids
"""
)

EXTENDED = (
    NOW
    + """
-- KEYS leases  ARGV id, lease_ms
return redis.call('ZADD', KEYS[1], 'XX', now + math.floor(ARGV[2] / 2), ARGV[1])
"""
)

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
