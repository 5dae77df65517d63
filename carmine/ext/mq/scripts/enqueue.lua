-- Put messages into the queue, each as its status allows; one round trip for all of them.
-- KEYS: as named below.
-- ARGV: now (ms; '' asks the server), messages the queue may hold (0: any number), then five words a message:
--   mid, content, backoff (ms), lease (ms; 0: the worker's), flags (1 can_update + 2 can_requeue + 4 reset_backoff
--   + 8 the mid was drawn by lot for this call: nothing is known of it, so nothing is looked up and cleared).
-- Returns one number a message: 1 added, 2 updated, -1 already-queued, -2 locked, -3 backoff, -4 full.
local messages, messages_rq, lock_times, lock_times_rq, udts, locks, backoffs, nattempts, fences, done, requeue,
  mids_ready, mid_circle, isleep_a, isleep_b, due, gc, stats = unpack(KEYS)
-- include: now
-- include: layout
-- include: wake
-- include: wipe

local ADDED, UPDATED, ALREADY, LOCKED, RESTS, FULL = 1, 2, -1, -2, -3, -4
local most = tonumber(ARGV[2])
local room = most > 0 and most - redis.call('HLEN', messages) or math.huge
local replies, later, fresh, strange, seen = {}, {}, {}, {}, {}
local contents, born, leases, rests, due_at, ready, circled, back = {}, {}, {}, {}, {}, {}, {}, {}

for i = 1, (#ARGV - 2) / 5 do
  local at = i * 5 - 2
  local mid = ARGV[at]
  local is_drawn = tonumber(ARGV[at + 4]) >= 8
  if seen[mid] or not is_drawn and redis.call('HEXISTS', messages, mid) == 1 then
    later[#later + 1] = i
  elseif #fresh >= room then
    replies[i] = FULL
  else
    seen[mid] = true
    fresh[#fresh + 1] = mid
    if not is_drawn then strange[#strange + 1] = mid end
    contents[#contents + 1] = mid
    contents[#contents + 1] = ARGV[at + 1]
    born[#born + 1] = mid
    born[#born + 1] = now
    local backoff, lease = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    if lease > 0 then
      leases[#leases + 1] = mid
      leases[#leases + 1] = lease
    end
    if backoff > 0 then
      rests[#rests + 1] = mid
      rests[#rests + 1] = now + backoff
      due_at[#due_at + 1] = now + backoff
      due_at[#due_at + 1] = mid
      if redis.call('ZSCORE', gc, mid) then
        back[#back + 1] = mid -- the entry of its last life is still in the circle
      else
        circled[#circled + 1] = mid
      end
    else
      ready[#ready + 1] = mid
    end
    replies[i] = ADDED
  end
end

if #fresh > 0 then
  redis.call('HINCRBY', stats, 'added', #fresh) -- first, for above `maxmemory` the server refuses it, and all the rest
  if #strange > 0 then
    wipe(strange) -- what a worker of the ancestor may have left behind would be taken for this life's
  end
  redis.call('HSET', messages, unpack(contents))
  redis.call('HSET', udts, unpack(born))
  if redis.call('EXISTS', mid_circle) == 0 then
    redis.call('LPUSH', mid_circle, 'end-of-circle')
  end
  if #leases > 0 then redis.call('HSET', lock_times, unpack(leases)) end
  if #ready > 0 then redis.call('LPUSH', mids_ready, unpack(ready)) end
  if #rests > 0 then
    redis.call('HSET', backoffs, unpack(rests))
    redis.call('ZADD', due, unpack(due_at))
    if #back > 0 then redis.call('ZREM', gc, unpack(back)) end
    if #circled > 0 then redis.call('LPUSH', mid_circle, unpack(circled)) end
  end
  wake()
end

local function set_lease(hash, mid, lease)
  if lease > 0 then
    redis.call('HSET', hash, mid, lease)
  else
    redis.call('HDEL', hash, mid)
  end
end

local function is_before(hash, mid)
  return now < tonumber(redis.call('HGET', hash, mid) or 0)
end

local function rest(mid, backoff)
  redis.call('HDEL', backoffs, mid)
  if backoff > 0 then redis.call('HSET', backoffs, mid, now + backoff) end
  if redis.call('ZSCORE', due, mid) or backoff > 0 then
    -- one that rests belongs to the circle; its entry in mids-ready, if it has one, is passed over
    if not redis.call('ZSCORE', due, mid) and redis.call('ZREM', gc, mid) == 0 then
      redis.call('LPUSH', mid_circle, mid)
    end
    redis.call('ZADD', due, now + backoff, mid)
  end
  wake()
end

local function enqueue(mid, content, backoff, lease, can_update, can_requeue, reset_backoff)
  local is_done = redis.call('SISMEMBER', done, mid) == 1
  local is_locked = not is_done and is_before(locks, mid)
  if not is_done and not is_locked then
    if not can_update and not reset_backoff then return ALREADY end
    if can_update then
      redis.call('HSET', messages, mid, content)
      set_lease(lock_times, mid, lease)
      -- newer than what waited behind the last run, and not what a run that lost its lease may finish
      redis.call('HDEL', messages_rq, mid)
      redis.call('HDEL', lock_times_rq, mid)
      redis.call('SREM', requeue, mid)
      redis.call('HDEL', fences, mid)
    end
    if reset_backoff then rest(mid, backoff) end
    return UPDATED
  end
  local rests = is_done and is_before(backoffs, mid)
  if (is_locked or rests) and not can_requeue then return is_locked and LOCKED or RESTS end
  local waits = redis.call('HEXISTS', messages_rq, mid) == 1 or redis.call('SISMEMBER', requeue, mid) == 1
  if waits and not can_update then return ALREADY end
  redis.call('HSET', messages_rq, mid, content)
  set_lease(lock_times_rq, mid, lease)
  if waits then return UPDATED end
  if is_done then
    if not rests then redis.call('LPUSH', mids_ready, mid) end
    wake()
  end
  return ADDED
end

for _, i in ipairs(later) do
  local at = i * 5 - 2
  local flags = tonumber(ARGV[at + 4])
  replies[i] = enqueue(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]),
    flags % 2 >= 1, flags % 4 >= 2, flags % 8 >= 4)
end
return replies
