-- Confirm a key's archive, if the key is what was archived: from now on it may expire.
-- KEYS: the marks, then the key.
-- ARGV: SHA-1 of the archived DUMP, ms at which the archive says its own time ends (-1 never), the time lent (ms; 0 none).
-- Returns 'archived', 'changed', 'expired' (its own time is over), 'gone' (deleted before it ever had an archive).
-- include: marks
local key, archived_end, ttl = KEYS[5], tonumber(ARGV[2]), tonumber(ARGV[3])
local at = expires(key)
if at == -2 then
  redis.call('ZREM', dirty, key)
  redis.call('ZREM', lent, key)
  local mine = score(own, key)
  if mine and mine <= now then return 'gone' end
  return redis.call('SISMEMBER', evictable, key) == 1 and 'archived' or 'gone'
end
local mine = own_end(key, at)
if mine and mine <= now then
  bury(key, mine)
  return 'expired'
end
if differ(mine, archived_end > 0 and archived_end) or redis.sha1hex(redis.call('DUMP', key)) ~= ARGV[1] then
  return 'changed'
end
redis.call('SADD', evictable, key)
redis.call('ZREM', dirty, key)
if mine then
  redis.call('ZADD', own, mine, key)
else
  redis.call('ZREM', own, key)
end
lend(key, at, mine, ttl)
return 'archived'
