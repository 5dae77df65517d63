-- KEYS[1] to KEYS[4]: what tells of archived keys (keys.py). The time is the server's, in ms.
local evictable, dirty, own, lent = unpack(KEYS, 1, 4)

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local now = clock()

local function score(zset, key)
  local found = redis.call('ZSCORE', zset, key)
  return found and tonumber(found)
end

-- When a key expires: -1 never, -2 there is no such key. Before 7.0 it can be off by the time this takes.
local slack = 0
local function expires(key)
  local at = redis.pcall('PEXPIRETIME', key)
  if type(at) == 'number' then return at end
  slack = 20
  local left = redis.call('PTTL', key)
  return left < 0 and left or clock() + left
end

-- When a key's own time ends, or false: `at` is what expires() gave, and not -2.
local function own_end(key, at)
  if at == -1 then
    -- what `dirty` took away counts until the archive is confirmed; else it has none
    return score(dirty, key) and score(own, key)
  end
  local given = score(lent, key)
  if given and math.abs(given - at) <= slack then return score(own, key) end
  return at
end

local function differ(a, b)
  return not a ~= not b or (a and math.abs(a - b) > slack)
end

-- Let a key expire at the end of its own time, or of the one lent to it if that is earlier.
local function lend(key, at, mine, ttl)
  local given = ttl > 0 and now + ttl
  if given and (not mine or given < mine) then
    -- without memory for the note there is no expiry either, which nobody could tell from the key's own
    local noted = redis.pcall('ZADD', lent, given, key)
    if type(noted) == 'number' then redis.call('PEXPIREAT', key, given) end
    return
  end
  redis.call('ZREM', lent, key)
  if mine then
    redis.call('PEXPIREAT', key, mine)
  elseif at ~= -1 then
    redis.call('PERSIST', key)
  end
end

-- Delete a key whose own time is over; `own` remembers that until its archive is deleted.
local function bury(key, mine)
  redis.call('UNLINK', key)
  redis.call('ZREM', dirty, key)
  redis.call('ZREM', lent, key)
  redis.call('ZADD', own, mine, key)
end
