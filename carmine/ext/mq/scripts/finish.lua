-- End runs of messages, each fenced: who is not the last to have claimed it changes nothing.
-- KEYS: as named below.
-- ARGV: now (ms; '' asks the server), dead letters kept at most, then five words a run: mid, fence, how, backoff (ms),
--   error. How: 'done' (success, or an error that is dropped), 'retry', 'back' (handed back: the attempt does not
--   count), 'dead' (done, with a dead letter).
-- Returns one number a run: 1 applied, 0 the lease was lost.
local messages, messages_rq, lock_times, udts, locks, backoffs, nattempts, fences, done, requeue, isleep_a, isleep_b,
  due, gc, dead, dead_messages, dead_notes, stats = unpack(KEYS)
-- include: now
-- include: drains
-- include: wake

local mids, replies, ended, over = {}, {}, {}, {}
for i = 1, (#ARGV - 2) / 5 do mids[i] = ARGV[i * 5 - 2] end
local held = redis.call('HMGET', fences, unpack(mids))
local done_mids, collect_at, rested, rests, waiting = {}, {}, {}, {}, {}
local counts = {done = 0, retry = 0, back = 0, dead = 0, lost = 0}

local function bury(mid, error)
  local content = redis.call('HGET', messages, mid)
  if not content then return end
  local attempts = redis.call('HGET', nattempts, mid) or 0
  local note = attempts .. ' ' .. (redis.call('HGET', udts, mid) or now)
    .. ' ' .. (redis.call('HGET', lock_times, mid) or 0) .. ' ' .. error
  redis.call('ZADD', dead, now, mid)
  redis.call('HSET', dead_messages, mid, content)
  redis.call('HSET', dead_notes, mid, note)
end

for i, mid in ipairs(mids) do
  local at = i * 5 - 2
  local how = ARGV[at + 2]
  if not held[i] or held[i] ~= ARGV[at + 1] or over[mid] then
    replies[i] = 0
    counts.lost = counts.lost + 1
  else
    replies[i] = 1
    over[mid] = true
    ended[#ended + 1] = mid
    counts[how] = counts[how] + 1
    local backoff = tonumber(ARGV[at + 3])
    if backoff > 0 then
      rests[#rests + 1] = mid
      rests[#rests + 1] = now + backoff
    else
      rested[#rested + 1] = mid
    end
    if how == 'dead' then bury(mid, ARGV[at + 4]) end
    if how == 'done' or how == 'dead' then
      done_mids[#done_mids + 1] = mid
      collect_at[#collect_at + 1] = now + backoff
      collect_at[#collect_at + 1] = mid
    else
      local from = now + backoff
      if how == 'back' then
        redis.call('HINCRBY', nattempts, mid, -1)
        if backoff == 0 then from = redis.call('HGET', udts, mid) or now end -- in its old place
      end
      waiting[#waiting + 1] = from
      waiting[#waiting + 1] = mid
    end
  end
end
if #ended > 0 then
  redis.call('HDEL', locks, unpack(ended))
  redis.call('HDEL', fences, unpack(ended))
  if #rests > 0 then redis.call('HSET', backoffs, unpack(rests)) end
  if #rested > 0 then redis.call('HDEL', backoffs, unpack(rested)) end
  if #done_mids > 0 then
    redis.call('SADD', done, unpack(done_mids))
    redis.call('ZREM', due, unpack(done_mids))
    redis.call('ZADD', gc, unpack(collect_at))
  end
  if #waiting > 0 then redis.call('ZADD', due, unpack(waiting)) end
  if #waiting > 0 or redis.call('EXISTS', messages_rq, requeue) > 0 then wake() end
end
local spare = redis.call('ZCARD', dead) - tonumber(ARGV[2])
if counts.dead > 0 and spare > 0 then
  local oldest = redis.call('ZRANGE', dead, 0, spare - 1)
  redis.call('ZREM', dead, unpack(oldest))
  redis.call('HDEL', dead_messages, unpack(oldest))
  redis.call('HDEL', dead_notes, unpack(oldest))
  redis.call('HINCRBY', stats, 'dead-dropped', #oldest)
end
for what, count in pairs(counts) do
  if count > 0 then redis.call('HINCRBY', stats, what, count) end
end
return replies
