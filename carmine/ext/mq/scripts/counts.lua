-- Count the messages by what they are now. Cost: O(log n) and the number of those that are locked; of a queue that the
-- ancestor wrote, while it is not indexed yet, all that rest and all that are done.
-- KEYS: as named below.
-- ARGV: now (ms; '' asks the server), '1' to look also at what waits behind runs that have ended (O(all that waits so)).
-- Returns {queued, locked, with backoff, done, dead, total}, and where it was asked for {..., of those done how many come
--   again at once, how many after their backoff}.
local messages, messages_rq, locks, backoffs, done, requeue, mid_circle, due, gc, dead = unpack(KEYS)
-- include: now

local total = redis.call('HLEN', messages)
local locked, rests, finished = 0, 0, 0
local unindexed = redis.call('LLEN', mid_circle) - 1 - redis.call('ZCARD', due) - redis.call('ZCARD', gc)
local is_indexed = unindexed <= 0
local lock = redis.call('HGETALL', locks)
local is_held = {}
for i = 1, #lock, 2 do
  if tonumber(lock[i + 1]) > now and (is_indexed or redis.call('SISMEMBER', done, lock[i]) == 0) then
    locked = locked + 1
    is_held[lock[i]] = true
  end
end
if is_indexed then
  rests = redis.call('ZCOUNT', due, '(' .. string.format('%.0f', now), '(inf') - locked
  finished = redis.call('ZCOUNT', gc, '-inf', '(inf')
else
  for _, mid in ipairs(redis.call('SMEMBERS', done)) do
    finished = finished + redis.call('HEXISTS', messages, mid)
  end
  local rest = redis.call('HGETALL', backoffs)
  for i = 1, #rest, 2 do
    if tonumber(rest[i + 1]) > now and not is_held[rest[i]] and redis.call('SISMEMBER', done, rest[i]) == 0
      and redis.call('HEXISTS', messages, rest[i]) == 1 then
      rests = rests + 1
    end
  end
end
local counts = {total - locked - rests - finished, locked, rests, finished, redis.call('ZCARD', dead), total}
if ARGV[2] == '1' then
  local at_once, later, seen = 0, 0, {}
  for _, mids in ipairs({redis.call('HKEYS', messages_rq), redis.call('SMEMBERS', requeue)}) do
    for _, mid in ipairs(mids) do
      if not seen[mid] and redis.call('SISMEMBER', done, mid) == 1 then
        if tonumber(redis.call('HGET', backoffs, mid) or 0) > now then later = later + 1 else at_once = at_once + 1 end
      end
      seen[mid] = true
    end
  end
  counts[7], counts[8] = at_once, later
end
return counts
