-- Take the next messages to be handled, and keep the queue in order on the way. Looks at no more than about 3 * `scan`
-- entries. With scan 1 it is the ancestor's one step: mids-ready, else the circle's next entry.
-- KEYS: as named below.
-- ARGV: now (ms; '' asks the server), most messages to claim (0: only keep order), entries to scan, default lease (ms), then the ms to sleep
--   after 1, 2, 3, 4, 5 and more polls without work.
-- Returns {'handle', messages in the queue, then six values a claim: mid, content, attempt, lease (ms), age (ms), fence},
--   {'skip', why}: poll again, or {'sleep', why, ms}.
local messages, messages_rq, lock_times, lock_times_rq, udts, locks, backoffs, nattempts, fences, done, requeue,
  mids_ready, mid_circle, ndry_runs, isleep_a, isleep_b, due, gc, fence, paused, stats = unpack(KEYS)
-- include: now
-- include: drains
-- include: layout
-- include: wake
-- include: wipe

local END = 'end-of-circle'
local MOST_BYTES, AT_A_TIME = 8 * 1024 * 1024, 8 -- of contents: a reply has to arrive before its reader gives it up
local most, scan, default_lease = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

if redis.call('EXISTS', paused) == 1 then return {'sleep', 'paused', tonumber(ARGV[9])} end

local has_ended, has_changed, has_requeues = false, false, nil

local function waits(mid)
  if has_requeues == nil then has_requeues = redis.call('EXISTS', messages_rq, requeue) > 0 end
  return has_requeues
    and (redis.call('HEXISTS', messages_rq, mid) == 1 or redis.call('SISMEMBER', requeue, mid) == 1)
end

-- A done message with content that waits becomes a fresh one; with the ancestor's flag alone its content is the old one.
local function begin_again(mid)
  local content = redis.call('HGET', messages_rq, mid)
  if content then
    redis.call('HSET', messages, mid, content)
    redis.call('HDEL', messages_rq, mid)
    local lease = redis.call('HGET', lock_times_rq, mid)
    redis.call('HDEL', lock_times, mid)
    if lease then redis.call('HSET', lock_times, mid, lease) end
    redis.call('HDEL', lock_times_rq, mid)
  end
  redis.call('HSET', udts, mid, now)
  for _, hash in ipairs({locks, backoffs, nattempts, fences}) do redis.call('HDEL', hash, mid) end
  redis.call('SREM', done, mid)
  redis.call('SREM', requeue, mid)
end

-- Remove messages; those that have an entry in the circle leave it when its turn comes.
local function collect(mids, circled)
  if #mids == 0 then return end
  wipe(mids)
  redis.call('ZREM', due, unpack(mids))
  local linger = {}
  for _, mid in ipairs(circled) do
    linger[#linger + 1] = 'inf'
    linger[#linger + 1] = mid
  end
  if #linger > 0 then redis.call('ZADD', gc, unpack(linger)) end
  has_changed = true
end

-- Turn the circle by some entries: drop those of collected messages, index those of messages the ancestor brought.
local function rotate(count)
  local tail = redis.call('LRANGE', mid_circle, -count, -1)
  if #tail == 0 or (#tail == 1 and tail[1] == END) then
    has_ended = true
    return
  end
  local in_due = redis.call('ZMSCORE', due, unpack(tail))
  local in_gc = redis.call('ZMSCORE', gc, unpack(tail))
  local keep, dropped, gone, kept, freed = {}, {}, {}, {}, {}
  for i = #tail, 1, -1 do
    local mid = tail[i]
    if kept[mid] then
      -- a second entry of the same
    elseif mid == END then
      has_ended = true
      kept[mid] = true
      keep[#keep + 1] = mid
    elseif in_due[i] or (in_gc[i] and in_gc[i] ~= 'inf') then
      kept[mid] = true
      keep[#keep + 1] = mid
    elseif in_gc[i] and not freed[mid] then
      freed[mid] = true
      dropped[#dropped + 1] = mid
    elseif redis.call('HEXISTS', messages, mid) == 0 then
      gone[#gone + 1] = mid
    else
      kept[mid] = true
      keep[#keep + 1] = mid
      local lock = tonumber(redis.call('HGET', locks, mid) or 0)
      local rest = tonumber(redis.call('HGET', backoffs, mid) or 0)
      if redis.call('SISMEMBER', done, mid) == 1 then
        redis.call('ZADD', gc, math.max(rest, 0), mid)
      else
        local from = lock > now and lock or rest
        redis.call('ZADD', due, from > 0 and from or (redis.call('HGET', udts, mid) or now), mid)
      end
      has_changed = true
    end
  end
  if #dropped > 0 then redis.call('ZREM', gc, unpack(dropped)) end
  collect(gone, {})
  redis.call('LTRIM', mid_circle, 0, -#tail - 1)
  if #keep > 0 then redis.call('LPUSH', mid_circle, unpack(keep)) end
end

-- Collect done messages whose backoff is over, or begin their next life.
local function sweep(count)
  local mids = redis.call('ZRANGEBYSCORE', gc, '-inf', now, 'LIMIT', 0, count)
  if #mids == 0 then return end
  local is_done = redis.call('SMISMEMBER', done, unpack(mids))
  local gone = {}
  for i, mid in ipairs(mids) do
    if is_done[i] == 1 and not waits(mid) then
      gone[#gone + 1] = mid
    else
      redis.call('ZREM', gc, mid)
      if is_done[i] == 1 then
        begin_again(mid)
        redis.call('ZADD', due, now, mid)
      end -- else it is looked at when its turn in the circle comes
    end
  end
  collect(gone, gone)
end

local claims = {'handle', 0}

-- Read contents, some at a time: once there is a lot, the rest of the mids stays for another poll.
local function read(mids, is_due)
  local contents, bytes = {}, 0
  while #contents < #mids and bytes < MOST_BYTES do
    local first = #contents + 1
    local some = redis.call('HMGET', messages, unpack(mids, first, math.min(first + AT_A_TIME - 1, #mids)))
    for _, content in ipairs(some) do
      contents[#contents + 1] = content
      bytes = bytes + (content and #content or 0)
    end
  end
  local later = {}
  for i = #mids, #contents + 1, -1 do
    if not is_due[mids[i]] then later[#later + 1] = mids[i] end -- else the index still has it
    mids[i] = nil
  end
  if #later > 0 then redis.call('RPUSH', mids_ready, unpack(later)) end
  return contents
end

-- Hold what is to be handled: a lease and a fence for each.
local function claim(mids, in_circle, is_due)
  local contents = read(mids, is_due)
  local attempts = redis.call('HMGET', nattempts, unpack(mids))
  local leases = redis.call('HMGET', lock_times, unpack(mids))
  local born = redis.call('HMGET', udts, unpack(mids))
  -- rises whatever becomes of the key or the clock: neither a restart nor a clear gives a fence twice
  local last = math.max(tonumber(redis.call('GET', fence) or 0), now * 1000)
  local held, until_, counts, tokens, at, circled, gone, gone_circled = {}, {}, {}, {}, {}, {}, {}, {}
  for i, mid in ipairs(mids) do
    if contents[i] then
      local lease = tonumber(leases[i]) or default_lease
      local attempt = (tonumber(attempts[i]) or 0) + 1
      last = last + 1
      held[#held + 1] = mid
      until_[#until_ + 1] = mid
      until_[#until_ + 1] = now + lease
      counts[#counts + 1] = mid
      counts[#counts + 1] = attempt
      tokens[#tokens + 1] = mid
      tokens[#tokens + 1] = last
      at[#at + 1] = now + lease
      at[#at + 1] = mid
      if not in_circle[mid] then circled[#circled + 1] = mid end
      local n = #claims
      claims[n + 1], claims[n + 2], claims[n + 3] = mid, contents[i], attempt
      claims[n + 4], claims[n + 5], claims[n + 6] = lease, math.max(0, now - (tonumber(born[i]) or now)), last
    else
      gone[#gone + 1] = mid
      if in_circle[mid] then gone_circled[#gone_circled + 1] = mid end
    end
  end
  collect(gone, gone_circled)
  if #held == 0 then return end
  redis.call('HSET', locks, unpack(until_))
  redis.call('HSET', nattempts, unpack(counts))
  redis.call('HSET', fences, unpack(tokens))
  redis.call('HDEL', backoffs, unpack(held))
  redis.call('ZREM', gc, unpack(held))
  redis.call('ZADD', due, unpack(at))
  if #circled > 0 then redis.call('LPUSH', mid_circle, unpack(circled)) end
  redis.call('SET', fence, last, 'EX', 86400)
  redis.call('HINCRBY', stats, 'claimed', #held)
end

-- Look at candidates, oldest first: those of the due index (whose entries are in the circle) and those of mids-ready.
local function take(from_due, due_times, from_ready)
  local all = {unpack(from_due)}
  for _, mid in ipairs(from_ready) do all[#all + 1] = mid end
  if #all == 0 then return end
  local lock = redis.call('HMGET', locks, unpack(all))
  local rest = redis.call('HMGET', backoffs, unpack(all))
  local is_done = redis.call('SMISMEMBER', done, unpack(all))
  local in_circle, is_due, born = {}, {}, {}
  for _, mid in ipairs(from_due) do in_circle[mid], is_due[mid] = true, true end
  if #from_ready > 0 then
    born = redis.call('HMGET', udts, unpack(from_ready))
    local in_due = redis.call('ZMSCORE', due, unpack(from_ready))
    local in_gc = redis.call('ZMSCORE', gc, unpack(from_ready))
    for k, mid in ipairs(from_ready) do
      if in_due[k] or in_gc[k] then in_circle[mid] = true end
    end
  end
  local chosen, seen, gone, gone_circled = {}, {}, {}, {}

  local function look(i, mid)
    if seen[mid] then return end
    seen[mid] = true
    local rests_until = tonumber(rest[i]) or 0
    if is_done[i] == 1 and waits(mid) and rests_until <= now then
      begin_again(mid)
      chosen[#chosen + 1] = mid
      return
    end
    local locked_until = tonumber(lock[i]) or 0
    if is_done[i] == 1 and rests_until <= now then
      gone[#gone + 1] = mid
      if in_circle[mid] then gone_circled[#gone_circled + 1] = mid end
      return
    end
    local looked_at = is_done[i] == 0 and locked_until > now and locked_until or rests_until
    if is_done[i] == 0 and looked_at <= now then
      chosen[#chosen + 1] = mid
      return
    end
    if not in_circle[mid] then redis.call('LPUSH', mid_circle, mid) end
    redis.call('ZREM', is_done[i] == 1 and due or gc, mid)
    redis.call('ZADD', is_done[i] == 1 and gc or due, looked_at, mid)
    has_changed = true
  end

  -- In order of time, so that neither source starves the other; clocks of the ancestor's producers may lie, so each
  -- comes first in one millisecond of eight.
  local i, k, d, r = 1, 1, #from_due, #from_ready
  while #chosen < most and (i <= d or k <= r) do
    local turn = i == 1 and k == 1 and now % 8 or 2
    if i <= d and (k > r or turn == 0 or (turn > 1 and tonumber(due_times[i]) <= (tonumber(born[k]) or 0))) then
      look(i, from_due[i])
      i = i + 1
    else
      look(d + k, from_ready[k])
      k = k + 1
    end
  end
  if k > 1 then redis.call('LTRIM', mids_ready, 0, -k) end
  collect(gone, gone_circled)
  if #chosen > 0 then claim(chosen, in_circle, is_due) end
end

local function newest_last(list)
  local turned = {}
  for i = #list, 1, -1 do turned[#turned + 1] = list[i] end
  return turned
end

local function take_next()
  local found = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
  local mids, times = {}, {}
  for i = 1, #found, 2 do
    mids[#mids + 1] = found[i]
    times[#times + 1] = found[i + 1]
  end
  take(mids, times, newest_last(redis.call('LRANGE', mids_ready, -most, -1)))
end

if scan > 1 then
  -- The circle is worked on in earnest while half of it is entries of collected messages, so that they never pile up,
  -- or while it has entries that no index knows; else a little, in case something outside of us has spoiled the index.
  local first, length = 4, redis.call('LLEN', mid_circle)
  if length - 1 > redis.call('ZCARD', due) + redis.call('ZCARD', gc)
    or redis.call('ZCOUNT', gc, 'inf', 'inf') * 2 > length then
    first = 2 * most + 8
  end
  first = math.min(scan, first)
  rotate(first)
  sweep(math.min(scan, most > 0 and 2 * most + 16 or scan))
  if most == 0 then return {'skip', 'in order'} end
  take_next()
  if #claims == 2 and not has_ended and scan > first then
    has_changed = false
    rotate(scan - first)
    if has_changed then take_next() end
  end
else
  local mid = redis.call('LRANGE', mids_ready, -1, -1)
  if #mid > 0 then
    take({}, {}, mid)
  else
    mid = redis.call('RPOPLPUSH', mid_circle, mid_circle)
    if not mid or mid == END then
      has_ended = true
    else
      take({mid}, {0}, {})
      if redis.call('HEXISTS', messages, mid) == 0 then
        redis.call('LREM', mid_circle, 1, mid)
        redis.call('ZREM', gc, mid)
      end
    end
  end
end

-- The ms at which an index has its first entry.
local function first_of(index)
  local found = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
  return #found > 0 and found[2] ~= 'inf' and tonumber(found[2]) or math.huge
end

if #claims > 2 then
  redis.call('SET', ndry_runs, 0)
  if redis.call('LLEN', mids_ready) > 0 or first_of(due) <= now + tonumber(ARGV[9]) then
    wake() -- work is left, or will be before those who sleep look again
  end
  claims[2] = redis.call('HLEN', messages)
  return claims
end

local next_at = first_of(due)
if redis.call('EXISTS', messages_rq, requeue) > 0 then next_at = math.min(next_at, first_of(gc)) end
local dry = tonumber(redis.call('GET', ndry_runs) or 0)
if scan == 1 then
  if not has_ended then return {'skip', 'one step'} end
elseif next_at <= now or redis.call('LLEN', mids_ready) > 0 then
  return {'skip', 'entries without work'}
elseif (dry == 0 or (dry == 1 and not has_ended))
  and redis.call('LLEN', mid_circle) - 1 > redis.call('ZCARD', due) + redis.call('ZCARD', gc) then
  -- until the end mark has come by twice: that is a whole lap, wherever it began
  if has_ended then redis.call('SET', ndry_runs, 1) end
  return {'skip', 'entries not indexed yet'}
end
redis.call('SET', ndry_runs, dry + 1)
local sleep = tonumber(ARGV[4 + math.min(5, dry + 1)])
return {'sleep', has_ended and 'end of circle' or 'nothing due', math.max(0, math.min(sleep, next_at - now))}
