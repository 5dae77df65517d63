-- Delete keys and their marks; `own` remembers until their archives are deleted too.
-- KEYS: the marks, then the keys.
-- Returns one number a key: 1 it was here or archived, 0 neither.
-- include: marks
local replies = {}
for i = 5, #KEYS do
  local key = KEYS[i]
  local was_here = redis.call('UNLINK', key) + redis.call('SREM', evictable, key) > 0
  redis.call('ZREM', dirty, key)
  redis.call('ZREM', lent, key)
  redis.call('ZADD', own, 0, key)
  replies[i - 4] = was_here and 1 or 0
end
return replies
