-- Remove the last trace of keys whose archives were deleted.
-- KEYS: the marks, then the keys.
-- Returns one number a key: 1 it is gone, 0 a new life of it began meanwhile, whose archive may have been deleted too.
-- include: marks
local replies = {}
for i = 5, #KEYS do
  local key = KEYS[i]
  if redis.call('EXISTS', key) == 1 then
    replies[i - 4] = 0
  else
    local mine = score(own, key)
    if mine and mine <= now then
      redis.call('ZREM', own, key)
      redis.call('SREM', evictable, key)
    end
    replies[i - 4] = 1
  end
end
return replies
