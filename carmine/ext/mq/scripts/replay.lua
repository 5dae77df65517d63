-- Put dead letters back into the queue as fresh messages; one whose mid is in the queue stays a dead letter.
-- KEYS: as named below.
-- ARGV: now (ms; '' asks the server), rank from which to look, how many at most, ms: none that died later; then mids,
--   instead of those by rank.
-- Returns {how many went back, how many stay because their mid is in the queue}.
local messages, messages_rq, lock_times, lock_times_rq, udts, locks, backoffs, nattempts, fences, done, requeue,
  mids_ready, mid_circle, isleep_a, isleep_b, gc, dead, dead_messages, dead_notes, stats = unpack(KEYS)
-- include: now
-- include: layout
-- include: wake
-- include: wipe

local mids = {}
if #ARGV > 4 then
  for i = 5, #ARGV do mids[#mids + 1] = ARGV[i] end
else
  local latest = tonumber(ARGV[4]) or now
  mids = redis.call('ZRANGEBYSCORE', dead, '-inf', latest, 'LIMIT', ARGV[2], ARGV[3])
end
local back, stay = 0, 0
for _, mid in ipairs(mids) do
  local content = redis.call('HGET', dead_messages, mid)
  -- a run that is over and only waits to be collected is no reason to stay
  local is_there = redis.call('HEXISTS', messages, mid) == 1
    and (redis.call('SISMEMBER', done, mid) == 0 or redis.call('HEXISTS', messages_rq, mid) == 1
      or redis.call('SISMEMBER', requeue, mid) == 1 or now < tonumber(redis.call('HGET', backoffs, mid) or 0))
  if content and is_there then
    stay = stay + 1
  elseif content then
    local lease = string.match(redis.call('HGET', dead_notes, mid) or '', '^%S+ %S+ (%d+)')
    wipe({mid})
    redis.call('ZADD', gc, 'XX', 'inf', mid)
    redis.call('HSET', messages, mid, content)
    redis.call('HSET', udts, mid, now)
    if lease and lease ~= '0' then redis.call('HSET', lock_times, mid, lease) end
    if redis.call('EXISTS', mid_circle) == 0 then redis.call('LPUSH', mid_circle, 'end-of-circle') end
    redis.call('LPUSH', mids_ready, mid)
    redis.call('ZREM', dead, mid)
    redis.call('HDEL', dead_messages, mid)
    redis.call('HDEL', dead_notes, mid)
    back = back + 1
  end
end
if back > 0 then
  redis.call('HINCRBY', stats, 'replayed', back)
  wake()
end
return {back, stay, string.format('%.0f', now)}
